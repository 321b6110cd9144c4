use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result, Variant};

use crate::combo::snake_case;
use crate::name_attribute;
use crate::node::InputField;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(input, "choices are an enum: one variant per choice, its fields the inputs"));
    };
    let ident = &input.ident;
    let choices = data.variants.iter().map(Choice::parse).collect::<Result<Vec<_>>>()?;
    let declared = choices.iter().map(Choice::declaration);
    let arms = choices.iter().map(Choice::arm);
    Ok(quote! {
        impl ::redraft_engine::io::Field for #ident {
            fn kind(_: ::redraft_engine::io::Widget) -> ::redraft_engine::schema::Kind {
                ::redraft_engine::schema::Kind::DynamicCombo(::std::vec![#(#declared),*])
            }

            fn from_value(value: &::redraft_engine::io::Value) -> ::std::result::Result<Self, ::redraft_engine::io::Misfit> {
                ::std::result::Result::Err(::redraft_engine::dynamic::no_choice_alone(value))
            }

            fn take(args: &mut ::redraft_engine::io::Args, name: &str) -> ::redraft_engine::anyhow::Result<Self> {
                let key: ::std::string::String = args.take(name)?;
                match key.as_str() {
                    #(#arms)*
                    _ => ::std::result::Result::Err(::redraft_engine::dynamic::no_such_choice(
                        &<Self as ::redraft_engine::io::Field>::kind(::std::default::Default::default()),
                        name,
                        &key,
                    )),
                }
            }
        }
    })
}

/// A variant: its key, and its fields as inputs.
struct Choice<'a> {
    variant: &'a Variant,
    key: String,
    inputs: Vec<InputField<'a>>,
}

impl<'a> Choice<'a> {
    fn parse(variant: &'a Variant) -> Result<Self> {
        let fields = match &variant.fields {
            Fields::Named(fields) => fields.named.iter().collect(),
            Fields::Unit => Vec::new(),
            Fields::Unnamed(_) => return Err(Error::new_spanned(variant, "a choice's inputs are named fields")),
        };
        let key = name_attribute(&variant.attrs, "choice")?.unwrap_or_else(|| snake_case(&variant.ident.to_string()));
        let inputs = fields.into_iter().map(InputField::parse).collect::<Result<Vec<_>>>()?;
        if let Some(group) = inputs.iter().find(|input| input.flatten) {
            return Err(Error::new_spanned(group.field, "a choice's inputs are its own fields"));
        }
        Ok(Self { variant, key, inputs })
    }

    fn declaration(&self) -> TokenStream {
        let key = &self.key;
        let inputs = self.inputs.iter().map(InputField::schema);
        quote!(::redraft_engine::schema::Choice {
            key: <::std::string::String as ::std::convert::From<&str>>::from(#key),
            inputs: ::std::vec![#(#inputs),*],
        })
    }

    fn arm(&self) -> TokenStream {
        let (key, ident) = (&self.key, &self.variant.ident);
        let fields = self.inputs.iter().map(|input| {
            let (field, name) = (&input.field.ident, &input.name);
            quote!(#field: args.take(&::std::format!("{name}.{}", #name))?)
        });
        quote!(#key => ::std::result::Result::Ok(Self::#ident { #(#fields),* }),)
    }
}
