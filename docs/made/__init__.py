"""What the site makes of the registries, the results and the repository: no list of these is kept by hand.

Each module gives pages, `{path: Markdown}`, or tables that a page of ours names between marks:

    <!-- made: scores -->

`hook` puts both into the site as it is built. The tests hold pages and tables without mkdocs.
"""
