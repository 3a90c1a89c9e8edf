"""Installs the plugin on a node and swaps Calico's conflist, keeps both so, and takes both back."""
