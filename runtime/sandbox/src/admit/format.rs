//! The first bytes: how many, and of what kind.

use routir_config::ExtensionLimits;

/// The size of the file, against `component_mb`.
pub(super) fn size(bytes: &[u8], limits: &ExtensionLimits) -> Result<String, String> {
    let most = limits.component_mb;
    let mib = bytes.len() as f64 / f64::from(1 << 20);
    if bytes.len() > (most as usize) << 20 {
        return Err(format!(
            "the component has {mib:.1} MiB; the most is {most} MiB (`component_mb`)"
        ));
    }
    Ok(format!("{mib:.2} MiB of at most {most}"))
}

/// Whether it is a component in the binary format.
pub(super) fn format(bytes: &[u8]) -> Result<String, String> {
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok("a component".to_owned()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(
            "this is a core WebAssembly module, not a component; wrap it: `routir-rt ext wrap`, \
             `wasm-tools component new` or `jco new`"
                .to_owned(),
        ),
        [0, b'a', b's', b'm', _, _, layer, _, ..] => Err(match layer {
            1 => "this is a component of a version that is not known here; rebuild it with a \
                  present tool"
                .to_owned(),
            _ => "this is WebAssembly of a version that is not known here".to_owned(),
        }),
        [0x7f, b'E', b'L', b'F', ..] => Err(
            "this is native code, such as a compiled component (`.cwasm`); only WebAssembly \
             components (`.wasm`) are taken"
                .to_owned(),
        ),
        [] => Err("the file is empty".to_owned()),
        _ if bytes.trim_ascii_start().starts_with(b"(") => Err(
            "this is WebAssembly as text; only the binary format is taken (`wasm-tools parse`)"
                .to_owned(),
        ),
        _ => Err("this is not WebAssembly".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_it_is_instead() {
        let core = wat::parse_str("(module)").unwrap();
        let component = wat::parse_str("(component)").unwrap();
        assert!(format(&component).is_ok());
        let wrong: [(&[u8], &str); 6] = [
            (&core, "wrap it"),
            (b"\x7fELF\x02\x01", "native code"),
            (b"", "empty"),
            (b"  (component)", "as text"),
            (b"hello", "not WebAssembly"),
            (b"\0asm\x0c\0\x01\0", "of a version"),
        ];
        for (bytes, expected) in wrong {
            let error = format(bytes).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn size_is_limited() {
        let limits = ExtensionLimits {
            component_mb: 1,
            ..ExtensionLimits::default()
        };
        assert!(size(&vec![0; 1 << 20], &limits).is_ok());
        let error = size(&vec![0; (1 << 20) + 1], &limits).unwrap_err();
        assert!(error.contains("`component_mb`"), "{error}");
    }
}
