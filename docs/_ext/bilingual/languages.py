"""The two languages of the site, and how to tell them apart in a text."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """One language: what Sphinx, the URL, HTML and the reader call it."""

    sphinx: str
    path: str
    tag: str
    name: str


ENGLISH = Language(sphinx="en", path="en", tag="en", name="English")
CHINESE = Language(sphinx="zh_CN", path="zh", tag="zh-CN", name="中文")
LANGUAGES = (ENGLISH, CHINESE)

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
PUNCTUATION = re.compile(r"[，。；：？！、（）【】《》「」『』]")
SHARED = re.compile(r"[“”‘’…—]")
"""Punctuation of both languages: it says nothing about which one a text is in."""
SEPARATOR = re.compile(r"\s\|\s|\s*｜\s*")


def by_sphinx(code: str | None) -> Language:
    """Return the language that Sphinx calls `code`."""
    return next((language for language in LANGUAGES if language.sphinx == code), ENGLISH)


def detect(text: str) -> Language | None:
    """Return the language of a text without its literals and maths, None if it has no words."""
    han = len(HAN.findall(text))
    words = len(WORD.findall(text))
    if han and (PUNCTUATION.search(text) or han >= 0.5 * words):
        return CHINESE
    return ENGLISH if words else None


def halves(text: str) -> tuple[str, str] | None:
    """Return the halves of ``English | 中文``, None if a text has not exactly two.

    An ASCII bar without Chinese beside it is a bar; a full-width one always separates.
    """
    parts = SEPARATOR.split(text)
    if len(parts) != 2 or not ("｜" in text or HAN.search(text)):
        return None
    return parts[0].strip(), parts[1].strip()


def choose(text: str, language: Language) -> str:
    """Return the half of a text that is in a language, the whole text if it has no halves."""
    parts = halves(text)
    return text if parts is None else parts[LANGUAGES.index(language)]


def in_order(english: str, chinese: str) -> bool:
    """Return whether two halves are in the languages that they should be in."""
    return detect(english) is not CHINESE and (detect(chinese) is None or bool(HAN.search(chinese)))
