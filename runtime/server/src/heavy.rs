//! Work that grows with the size of a request or an answer: bounded, and off the reactor when it is
//! large.

use routir_core::{Error, ErrorCode, Result};

/// From which size work is done off the reactor: some milliseconds of it.
const LARGE_BYTES: usize = 128 << 10;
/// The most values in a body. Each takes some dozens of bytes once it is read, however short it was.
const MAX_VALUES: usize = 2 << 20;

/// Does `work` on so many bytes, on another thread when they are many.
///
/// # Errors
/// Those of `work`; [`ErrorCode::Internal`] when it panics on another thread.
pub(crate) async fn heavy<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if bytes <= LARGE_BYTES {
        return work();
    }
    let broke_off = |why| Error::internal(format!("a request's work broke off: {why}"));
    tokio::task::spawn_blocking(work).await.map_err(broke_off)?
}

/// Checks that so many values as `json` has can be read.
///
/// # Errors
/// [`ErrorCode::TooLarge`] when they are too many.
pub(crate) fn check_values(json: &[u8]) -> Result<()> {
    if json.len() <= MAX_VALUES || count(json) <= MAX_VALUES {
        return Ok(());
    }
    let message = format!(
        "the request body has more than {MAX_VALUES} values, as many as this server reads; send \
         less at once"
    );
    Err(Error::new(ErrorCode::TooLarge, message))
}

/// About how many values and names there are: each but the first stands behind one of four signs.
fn count(json: &[u8]) -> usize {
    let mut count = 0;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b':' | b'[' | b'{' => count += 1,
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_texts_are_not_looked_into() {
        for (json, values) in [
            (r#"{"query":"a,b:[{","limit":3}"#, 4),
            (r#"{"q":"\",,,,\\","x":[1,2,"\\"]}"#, 7),
            (r#""never ends,,,"#, 0),
            (r#""\"#, 0),
        ] {
            assert_eq!(count(json.as_bytes()), values, "{json}");
        }
        let text = format!(r#"{{"passages":["{}"]}}"#, ",".repeat(4 * MAX_VALUES));
        assert!(check_values(text.as_bytes()).is_ok());
        let values = format!(r#"{{"ids":[{}1]}}"#, "1,".repeat(MAX_VALUES));
        let error = check_values(values.as_bytes()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::TooLarge);
    }
}
