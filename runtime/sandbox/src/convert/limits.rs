//! Bounds on single values that cross, beside the limits that are set per extension.

/// The longest document id that a guest may give, in bytes.
pub(crate) const MAX_ID: usize = 4096;
/// The longest sub-query that a guest may make, in characters.
pub(crate) const MAX_SUB_QUERY: usize = 65_536;
/// The longest JSON text that a guest may state as a parameter, in bytes: parsed, it is many times as
/// large.
pub(crate) const MAX_JSON: usize = 64 << 10;
/// The longest list of numbers that a guest may state as a parameter.
pub(crate) const MAX_NUMBERS: usize = 16 << 10;
/// How many characters of a guest's explanation a caller is shown.
pub(crate) const MAX_SAID: usize = 1000;
/// What a guest is handed in one host call, in bytes, strings counted with their descriptors.
pub(crate) const MAX_HANDED_OVER: usize = 16 << 20;
