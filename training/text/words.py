"""What the overlays say: prices, words and random letters of five scripts. Sense does not matter, the look of a line does."""

import string

import numpy as np

SCRIPTS = {"latin": 0.45, "cjk": 0.25, "cyrillic": 0.1, "arabic": 0.1, "devanagari": 0.1}
"""Share of the lines in each script."""

_LATIN = """Sale New Free shipping Special Offer Buy now Limited Edition Premium Quality Best price Summer collection Order
today Black Friday Original Organic Natural Handmade Photo Sample Preview Copyright Stock image Do not copy Watermark Design
Studio Fresh Classic Exclusive Guaranteed Water resistant Made in Germany Größe Qualité été naïve français España mañana
İstanbul download unlimited wireless battery charger kitchen garden weekend clearance members only the quick brown fox jumps
over lazy dog"""
_CYRILLIC = """Скидка Новинка Бесплатная доставка Цена Купить сейчас Лучшее качество Распродажа Фото образец Только сегодня
Акция Летняя коллекция Подарок Оригинал Ручная работа Свежий урожай Экономия объём ёлка щука цветы маленький большой"""
_ARABIC = """خصم جديد عرض خاص شحن مجاني اشتري الآن أفضل سعر جودة عالية تخفيضات صورة عينة اليوم فقط هدية أصلي صناعة يدوية طازج
حقوق محفوظة العلامة المائية تصميم مجموعة الصيف الكتاب المدينة القمر الشمس البحر"""
_DEVANAGARI = """नया छूट विशेष प्रस्ताव मुफ्त शिपिंग अभी खरीदें सर्वोत्तम मूल्य उच्च गुणवत्ता बिक्री चित्र नमूना केवल आज उपहार मूल
हस्तनिर्मित ताज़ा संग्रह गर्मी प्रीमियम डिज़ाइन पुस्तक शहर सूर्य समुद्र क्षमता ज्ञान"""

WORDS = {
    "latin": _LATIN.split(),
    "cyrillic": _CYRILLIC.split(),
    "arabic": _ARABIC.split(),
    "devanagari": _DEVANAGARI.split(),
}


def _decoded(codec: str, first_row: int, last_row: int) -> str:
    pairs = (bytes((row, cell)) for row in range(first_row, last_row + 1) for cell in range(0xA1, 0xFF))
    return "".join(pair.decode(codec, "ignore") for pair in pairs)


HAN = _decoded("gb2312", 0xB0, 0xD7)  # level 1: the 3755 commonest characters
HANGUL = _decoded("euc_kr", 0xB0, 0xC8)
KANA = "".join(map(chr, [*range(0x3042, 0x3094), *range(0x30A2, 0x30F5)]))


def line(rng: np.random.Generator, script: str, most_letters: int) -> str:
    """One line of 1 to `most_letters` characters."""
    if script == "cjk":
        letters = HAN if rng.random() < 0.7 else (HANGUL if rng.random() < 0.5 else KANA + HAN[:400])
        drawn = "".join(letters[i] for i in rng.integers(len(letters), size=int(rng.integers(1, 13))))
        return drawn[: max(1, most_letters // 2)]
    words = WORDS[script]
    chosen = [words[i] for i in rng.integers(len(words), size=int(rng.integers(1, 6)))]
    if rng.random() < 0.25:
        chosen.insert(int(rng.integers(len(chosen) + 1)), _number(rng))
    if script == "latin" and rng.random() < 0.25:
        chosen = ["".join(rng.choice(list(string.ascii_letters + string.digits), int(rng.integers(2, 12)))) for _ in chosen]
    text = " ".join(chosen)
    if script in ("latin", "cyrillic") and rng.random() < 0.3:
        text = text.upper()
    # Cut at a space: a cluster of Devanagari cut in two shows a dotted circle.
    return text if len(text) <= most_letters else (text[: most_letters + 1].rsplit(" ", 1)[0] or text)[: 4 * most_letters]


def _number(rng: np.random.Generator) -> str:
    number = int(rng.integers(1, 10000))
    forms = (f"${number / 100:.2f}", f"{number % 100}%", f"-{number % 90}%", f"€{number}", f"© {number}", f"{number}")
    return forms[int(rng.integers(len(forms)))]
