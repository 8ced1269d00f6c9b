"""The gallery: pages of jobs, units and images in a browser, served by ``analyze serve`` or written as files."""
