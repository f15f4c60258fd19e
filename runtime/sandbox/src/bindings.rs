//! The ABI as Rust types: all worlds of `wit/since_v0.1.0` in one module.
//!
//! A component may play several roles, so what it exports is looked up role by role
//! (`crate::exports`) and only the imports and types are taken from here.

wasmtime::component::bindgen!({
    inline: "
        package routir:runtime;

        /// Everything that an extension may import.
        world everything {
            include routir:extension/fusion@0.1.0;
            import routir:extension/host@0.1.0;
        }
    ",
    path: "../../wit/since_v0.1.0",
    world: "routir:runtime/everything",
    imports: {
        "routir:extension/log": trappable,
        "routir:extension/candidates@0.1.0.ids": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    additional_derives: [PartialEq],
});

pub(crate) use exports::routir::extension::manifest;
pub(crate) use routir::extension::{candidates, host, log, types};
