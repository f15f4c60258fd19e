//! English function words: the closed classes that say how a sentence hangs together, not what it
//! is about.

/// Determiners, pronouns, auxiliary verbs, prepositions, conjunctions and the adverbs that stand
/// in for them, in lower case and before stemming. "us" is not among them: it is a country too.
///
/// They make up some 40 % of running English, so an index without them is smaller and faster. The
/// price: a query of nothing else ("to be or not to be") finds nothing.
pub(crate) const STOP_WORDS: &str = "\
    a an the this that these those each every either neither some any all both several few many \
    much more most other another such same \
    i me my mine myself we our ours ourselves you your yours yourself yourselves he him his \
    himself she her hers herself it its itself they them their theirs themselves who whom whose \
    which what whatever whoever whichever someone somebody something anyone anybody anything \
    everyone everybody everything nobody nothing none \
    am is are was were be been being have has had having do does did doing done can cannot could \
    may might must shall should will would ought \
    about above across after against along among around as at before behind below beneath beside \
    besides between beyond by despite down during except for from in inside into of off on onto \
    out outside over per since through throughout till to toward towards under underneath until \
    up upon via with within without \
    and or but nor so yet if then than because although though while whereas unless whether \
    when where why how \
    not no too very also only just there here again once ever never however thus hence therefore";
