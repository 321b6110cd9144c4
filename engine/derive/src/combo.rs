use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::name_attribute;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(input, "a combo is an enum: one variant per choice"));
    };
    let ident = &input.ident;
    let mut names = Vec::new();
    let mut arms = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(variant, "a choice carries no data"));
        }
        let name = name_attribute(&variant.attrs, "combo")?.unwrap_or_else(|| snake_case(&variant.ident.to_string()));
        let variant = &variant.ident;
        arms.push(quote!(#name => ::std::option::Option::Some(Self::#variant)));
        names.push(name);
    }
    Ok(quote! {
        impl ::redraft_engine::io::Combo for #ident {
            fn names() -> ::std::vec::Vec<&'static str> {
                ::std::vec![#(#names),*]
            }

            fn from_name(name: &str) -> ::std::option::Option<Self> {
                match name {
                    #(#arms,)*
                    _ => ::std::option::Option::None,
                }
            }
        }
        ::redraft_engine::combo_field!(#ident);
    })
}

pub(crate) fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
