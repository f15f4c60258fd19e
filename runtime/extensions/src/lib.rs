//! Who owns which extension: admission, versions, swap, rollback, watched directories, breaker, audit.
