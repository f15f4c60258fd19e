"""Tokenizers of the three kinds that models use, small, with vocabularies made here."""

import string

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

PUNCTUATION = ".,:;!?'\"()[]<>-"
WORDS = "the of and query document passage relevant what is how bees honey tide moon instruct".split()


def word_piece():
    """As BERT's: words in lower case, cut into pieces, between [CLS] and [SEP]."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"]
    characters = string.ascii_lowercase + string.digits
    pieces = [*special, *PUNCTUATION, *WORDS, *characters, *(f"##{it}" for it in characters), "##s", "##ing", "##ed"]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(it, vocabulary[it]) for it in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens([AddedToken(it, normalized=False) for it in special])
    # As files that were saved after use have it: whoever loads them has to turn it off.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8, pad_id=0)
    return tokenizer


def unigram():
    """As T5's: words with a mark before them, and </s> at the end."""
    characters = string.ascii_letters + string.digits + PUNCTUATION
    words = ["Query", "Document", "Relevant", "true", "false", *WORDS]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("▁", -4.0)]
    pieces += [(f"▁{word}", -3.0) for word in words] + [(it, -6.0 - number / 50) for number, it in enumerate(characters)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    collapse = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), collapse])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens([AddedToken(it, normalized=False) for it in ("<pad>", "</s>", "<unk>")])
    return tokenizer


def byte_level(end=None):
    """As Qwen's: bytes and merges, words with the space before them; `end` is appended to texts."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("y", "e"), ("ye", "s"), ("n", "o"), ("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ġ", "b")]
    vocabulary = {piece: number for number, piece in enumerate([*letters, *(a + b for a, b in merges)])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens([AddedToken(it, normalized=False) for it in special])
    tokenizer.add_tokens([AddedToken(it, normalized=False) for it in ("<think>", "</think>")])
    if end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {end}", special_tokens=[(end, tokenizer.token_to_id(end))]
        )
    return tokenizer
