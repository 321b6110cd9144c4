use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, Result};

use crate::node::{InputField, declared, fields, taken, takes_lists};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let inputs = fields(input)?.into_iter().map(InputField::parse).collect::<Result<Vec<_>>>()?;
    if let Some(other) = inputs.iter().find(|input| input.rest || input.hidden) {
        return Err(Error::new_spanned(
            other.field,
            "a field with the rest, or a hidden one, belongs to the node itself",
        ));
    }
    let ident = &input.ident;
    let (declared, takes_lists, taken) = (declared(&inputs), takes_lists(&inputs), taken(&inputs));
    Ok(quote! {
        impl ::redraft_engine::io::Inputs for #ident {
            const LISTS: bool = #takes_lists;

            fn declare() -> ::std::vec::Vec<::redraft_engine::schema::Input> {
                #declared
            }

            fn take(args: &mut ::redraft_engine::io::Args) -> ::redraft_engine::anyhow::Result<Self> {
                ::std::result::Result::Ok(Self { #(#taken),* })
            }
        }
    })
}
