"""The explorer: a page on which one looks at a dataset, served from this machine or written as a static site.

The page (TypeScript, in ``web/``, built into ``page/``) reads files below its own address. ``data_files`` makes them,
``server`` and ``site`` give the same files by two ways.
"""
