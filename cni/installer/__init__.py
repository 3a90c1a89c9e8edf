"""Puts the plugin on a node and Calico's conflist in its hands, and takes both back."""
