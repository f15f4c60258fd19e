//! Every example guest is let in by the sandbox, with nothing granted (Go alone: an empty WASI), in
//! the role of its world, under its folder's name.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use routir_core::ParamsSpec;
use routir_guests::{Lang, guests};
use wit_component::DecodedWasm;
use wit_parser::WorldItem;

#[tokio::test]
async fn every_guest_is_what_it_says() {
    for guest in guests() {
        let Some(bytes) = common::component(*guest) else {
            continue;
        };
        let component = common::admit(*guest, bytes).await.component;
        assert_eq!(component.manifest().name, guest.name);
        assert_eq!(
            component.role_list(),
            common::roles_of(guest.world),
            "{}",
            guest.name
        );
        let ParamsSpec::Known(params) = &component.manifest().params else {
            panic!("{}: parameters must be stated", guest.name);
        };
        assert!(!params.is_empty() && params.iter().all(|param| param.doc.len() > 10));
    }
}

/// What makes extensions of these languages safe to admit: they ask for nothing.
#[test]
fn no_guest_but_gos_imports_wasi() {
    for guest in guests() {
        let Some(bytes) = common::component(*guest) else {
            continue;
        };
        let (strange, own): (Vec<_>, Vec<_>) = imports(&bytes)
            .into_iter()
            .partition(|name| !name.starts_with("routir:extension/"));
        assert_eq!(
            strange.is_empty(),
            guest.lang != Lang::Go,
            "{}: {strange:?}",
            guest.name
        );
        assert!(
            strange.iter().all(|name| name.starts_with("wasi:")),
            "{strange:?}"
        );
        let known = ["types", "log", "host", "candidates"];
        let known = known.map(|name| format!("routir:extension/{name}@0.1.0"));
        assert!(own.iter().all(|name| known.contains(name)), "{own:?}");
    }
}

/// The names of what a component imports.
fn imports(component: &[u8]) -> Vec<String> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component).unwrap() else {
        panic!("not a component");
    };
    // Types are listed too, and are nothing to call.
    let called = |(_, item): &(_, &WorldItem)| !matches!(item, WorldItem::Type { .. });
    let imports = resolve.worlds[world].imports.iter().filter(called);
    imports
        .map(|(key, _)| resolve.name_world_key(key))
        .collect()
}
