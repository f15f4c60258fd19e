//! The status page: one file that asks `/health` and listens to `/ws/cluster-status` itself.

/// The page at `/`. It holds no data: what workers call themselves is put into it as text by its
/// script, never as markup.
pub(crate) const PAGE: &str = include_str!("page.html");

/// The media type of the page.
pub(crate) const CONTENT_TYPE: &str = "text/html; charset=utf-8";

/// What the page may do: its own style and script, and asking this router.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
     script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_brings_no_markup_in_and_fetches_nothing_from_elsewhere() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!PAGE.contains(way), "{way}");
        }
        for way in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!PAGE.contains(way), "{way}");
        }
        assert!(PAGE.contains("textContent") && PAGE.contains("<title>SIE Router</title>"));
    }
}
