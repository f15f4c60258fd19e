//! Building ahead what reading a view needs.

use routir_core::{Error, ErrorCode, Result};

use crate::collection::{Collection, CollectionParts};
use crate::options::OpenOptions;

impl Collection {
    /// Builds what reading the view `name` needs and is missing or out of date, and nothing for other
    /// views; how many documents it has, if it knows. Blocking.
    ///
    /// # Errors
    /// As [`Collection::open_parts`]; [`ErrorCode::UnknownName`] for a view that is not there.
    pub fn warm_up(
        parts: &CollectionParts,
        name: &str,
        options: &OpenOptions<'_>,
    ) -> Result<Option<usize>> {
        let mut only = parts.clone();
        only.views.retain(|view| view.name() == name);
        only.default_view = Some(name.to_owned());
        only.load_all = false;
        if only.views.is_empty() {
            let message = format!("collection `{}` has no view `{name}`", parts.name);
            return Err(Error::new(ErrorCode::UnknownName, message));
        }
        let opened = Self::open_parts(&only, options)?;
        Ok(opened.scan(None).ok().map(|scan| scan.len()))
    }
}
