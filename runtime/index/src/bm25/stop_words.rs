//! English words that say how a sentence hangs together, not what it is about.

/// In lower case and before stemming, class by class: determiners and quantifiers; pronouns;
/// auxiliary verbs; prepositions; conjunctions; negation and the adverbs of place, time, degree and
/// discourse; small numbers; the light verbs that carry no topic of their own; what the tokenizer
/// leaves of contractions ("don't" is `don`); Latin abbreviations. "us" is not among them: it is a
/// country too. Nor are single letters, as in "vitamin d".
///
/// They make up nearly half of running English, so an index without them is smaller and faster.
/// The price: a query of nothing else ("to be or not to be") finds nothing.
pub(crate) const STOP_WORDS: &str = "\
    a an the this that these those each every either neither some any all both several few many \
    much more most less least enough other others another such same own certain various whole \
    i me my mine myself we our ours ourselves you your yours yourself yourselves he him his \
    himself she her hers herself it its itself they them their theirs themselves who whom whose \
    which what whatever whoever whichever someone somebody something anyone anybody anything \
    everyone everybody everything nobody nothing none oneself \
    am is are was were be been being have has had having do does did doing done can cannot could \
    may might must shall should will would ought \
    about above across after against along among amongst around as at before behind below beneath \
    beside besides between beyond by despite down during except for from in inside into like near \
    of off on onto out outside over per since through throughout till to toward towards under \
    underneath unlike until up upon via with within without \
    and or but nor so yet if then than because although though while whereas unless whether \
    when where why how whenever wherever \
    not no too very also only just there here again once ever never however thus hence therefore \
    almost already always often sometimes usually perhaps maybe quite rather still even else \
    indeed instead otherwise moreover furthermore nevertheless meanwhile namely mainly mostly \
    merely hardly nearly particularly especially respectively generally actually really probably \
    anywhere everywhere somewhere nowhere elsewhere anyway somehow together away back now soon \
    later well \
    one two three four five six seven eight nine ten first second third \
    get gets got getting go goes going gone went come comes coming came become becomes became \
    make makes made making take takes taken taking took give gives given giving gave let lets \
    use uses used using seem seems seemed say says said see seen \
    don doesn didn isn aren wasn weren hasn haven hadn won wouldn couldn shouldn \
    eg ie etc viz vs et al";
