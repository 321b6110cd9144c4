use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::{documentation, name_attribute};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let named = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Some(&fields.named),
            _ => None,
        },
        _ => None,
    };
    let Some(fields) = named else {
        return Err(Error::new_spanned(input, "outputs are the named fields of a struct"));
    };
    let ident = &input.ident;
    let mut declared = Vec::new();
    let mut sockets = Vec::new();
    for field in fields {
        let (name, ty, tooltip) = (&field.ident, &field.ty, documentation(&field.attrs));
        let label = match name_attribute(&field.attrs, "output")? {
            Some(label) => quote!(::std::option::Option::Some(#label)),
            None => quote!(::std::option::Option::None),
        };
        declared.push(quote!(::redraft_engine::io::output_of::<#ty>(#label, #tooltip)));
        sockets.push(quote!(::redraft_engine::io::Emit::into_socket(self.#name)));
    }
    Ok(quote! {
        impl ::redraft_engine::outputs::Outputs for #ident {
            fn declare() -> ::std::vec::Vec<::redraft_engine::schema::Output> {
                ::std::vec![#(#declared),*]
            }

            fn into_returned(self) -> ::redraft_engine::outputs::Returned {
                ::redraft_engine::outputs::Returned::Values(::std::vec![#(#sockets),*])
            }
        }
    })
}
