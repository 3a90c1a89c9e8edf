"""`make soak`: many pods come and go while everything around the plugin fails, and a test that runs a small one."""
