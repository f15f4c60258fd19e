//! Makes components of core modules, holds the templates of new extensions, and builds the example
//! guests.
//!
//! Guards: what a template or a guest is built from is exactly the WIT that the server speaks, and
//! the encoder is of the release that its wasmtime was made with. Must never know: how a component
//! is run.

mod component;
mod guest;
mod make;
mod recipe;
mod template;
mod tools;

pub use component::{WIT, componentize, worlds};
pub use guest::{Guest, Lang, guests};
pub use make::{Made, Workshop};
pub use template::{PLACEHOLDER, Template, template, templates};
