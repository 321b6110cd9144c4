//! The derives of `redraft-engine`. A node's struct is its whole declaration; these turn it into code.

mod choices;
mod combo;
mod inputs;
mod node;
mod outputs;

use proc_macro::TokenStream;
use syn::{Attribute, DeriveInput, Expr, ExprLit, Lit, Meta, parse_macro_input};

/// Declares a node. The fields are its inputs, in widget order; their types decide socket or widget; doc comments are the
/// documentation.
///
/// On the struct, `#[node(...)]`: `category = "..."`, `display = "..."` (the editor's title), `class = "..."` (if not the
/// struct's name), `output` (the node is an end in itself), `hidden("prompt", "extra_pnginfo")` (`"*"`: a field marked `rest` takes
/// constants, too), `reads("embeddings")` (folders whose files its inputs name), `revision = 1`, `not_idempotent`, `deprecated`, `experimental`, `validates("image")` (inputs
/// whose constants `Run::validate` checks in place of their declared limits; `"*"` for all), `validates_types`.
///
/// On a field, `#[input(...)]`: `default`, `min`, `max`, `step`, `round`, `control_after_generate`, `multiline`,
/// `dynamic_prompts`, `files = "checkpoints"`, `besides = ["none"]`, `upload = Image`, `prefix = "image"` (of a `Grow`),
/// `name = "..."`, `lazy`, `force_input`, `hidden` (only a node made at run time can be given it), `rest` (the linked inputs
/// that the class does not declare), `flatten` (alone: the field's type derives `Inputs`, and its fields are inputs here).
#[proc_macro_derive(Node, attributes(node, input))]
pub fn derive_node(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    node::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct a group of inputs that several classes declare alike: each has a field of it, marked `#[input(flatten)]`. The group's own
/// fields take `#[input(...)]` as a node's do.
#[proc_macro_derive(Inputs, attributes(input))]
pub fn derive_inputs(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    inputs::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct what a node returns: one output per field, in order, named after its type unless `#[output(name = "...")]`
/// says otherwise.
#[proc_macro_derive(Outputs, attributes(output))]
pub fn derive_outputs(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    outputs::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes an enum without data a combo: one choice per variant, in order, named in snake case unless
/// `#[combo(name = "...")]` says otherwise.
#[proc_macro_derive(Combo, attributes(combo))]
pub fn derive_combo(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    combo::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes an enum a combo whose choice brings inputs of its own: the fields of its variant, which take `#[input(...)]` as a
/// node's do. A choice is named in snake case unless `#[choice(name = "...")]` says otherwise.
#[proc_macro_derive(Choices, attributes(choice, input))]
pub fn derive_choices(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    choices::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// The text of the doc comments among `attributes`: lines joined, paragraphs kept.
fn documentation(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("doc")) {
        let Meta::NameValue(meta) = &attribute.meta else { continue };
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &meta.value else { continue };
        let line = line.value();
        let line = line.trim();
        if line.is_empty() {
            text.push_str("\n\n");
        } else {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push(' ');
            }
            text.push_str(line);
        }
    }
    text.trim().to_owned()
}

/// `#[output(name = "...")]` and its like: the name given, if any.
fn name_attribute(attributes: &[Attribute], list: &str) -> syn::Result<Option<String>> {
    let mut name = None;
    for attribute in attributes.iter().filter(|a| a.path().is_ident(list)) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("only `name = \"...\"` may stand here"));
            }
            name = Some(meta.value()?.parse::<syn::LitStr>()?.value());
            Ok(())
        })?;
    }
    Ok(name)
}
