"""mkdocs' hook: made pages and files join the site, tables are put where pages name them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parents[2]))  # mkdocs loads a hook by its path

from docs.made import site

_PAGES: dict[str, str] = {}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A folder in the navigation stands for the made pages in it."""
    _PAGES.update(site.pages())
    config.nav = _unfolded(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path, text in _PAGES.items():
        files.append(File.generated(config, path, content=text))
    for path, source in site.files().items():
        files.append(File.generated(config, path, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return site.filled(markdown)


def _unfolded(nav: Any) -> Any:
    if isinstance(nav, list):
        return [found for item in nav for found in (_folder(item) if _is_folder(item) else [_unfolded(item)])]
    if isinstance(nav, dict):
        return {title: _unfolded(item) for title, item in nav.items()}
    return nav


def _is_folder(item: Any) -> bool:
    return isinstance(item, str) and item.endswith("/")


def _folder(item: str) -> list[str]:
    inside = [path for path in _PAGES if path.startswith(item)]
    return sorted(inside, key=lambda path: not path.endswith("index.md"))
