use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Data, DeriveInput, Error, Expr, Field, Fields, LitInt, LitStr, Result, Token, parenthesized};

use crate::documentation;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let options = NodeOptions::parse(input)?;
    let inputs = fields(input)?.into_iter().map(InputField::parse).collect::<Result<Vec<_>>>()?;
    if let Some(early) = inputs.iter().rev().skip(1).find(|input| input.rest) {
        return Err(Error::new_spanned(early.field, "the field that takes the rest is the last one"));
    }
    let ident = &input.ident;
    let class = options.class.clone().unwrap_or_else(|| ident.to_string());
    let (schema, traits) = (schema(&class, input, &options, &inputs), options.traits(&inputs));
    let (take, args) = (taken(&inputs), if inputs.is_empty() { quote!(_args) } else { quote!(args) });
    let register = format_ident!("REGISTER_{}", ident.to_string().to_uppercase());
    Ok(quote! {
        impl ::redraft_engine::node::Node for #ident {
            fn schema() -> ::redraft_engine::schema::Schema {
                #schema
            }

            fn traits() -> ::redraft_engine::node::Traits {
                #traits
            }

            fn from_args(#args: &mut ::redraft_engine::io::Args) -> ::redraft_engine::anyhow::Result<Self> {
                ::std::result::Result::Ok(Self { #(#take),* })
            }
        }

        #[::redraft_engine::linkme::distributed_slice(::redraft_engine::node::CLASSES)]
        #[linkme(crate = ::redraft_engine::linkme)]
        static #register: fn() -> ::redraft_engine::node::Class = ::redraft_engine::node::Class::of::<#ident>;
    })
}

fn schema(class: &str, input: &DeriveInput, options: &NodeOptions, inputs: &[InputField]) -> TokenStream {
    let display = options.display.clone().unwrap_or_else(|| class.to_owned());
    let (category, description) = (&options.category, documentation(&input.attrs));
    let (output, deprecated, experimental) = (options.output, options.deprecated, options.experimental);
    let hidden = options.hidden.iter().map(|name| {
        let kind = match name.value().as_str() {
            "prompt" => quote!(Prompt),
            "extra_pnginfo" => quote!(ExtraPngInfo),
            "unique_id" => quote!(UniqueId),
            "dynprompt" => quote!(DynPrompt),
            "*" => quote!(Any),
            _ => {
                let message = "hidden inputs are prompt, extra_pnginfo, unique_id, dynprompt, *";
                return Error::new_spanned(name, message).into_compile_error();
            }
        };
        quote!((<::std::string::String as ::std::convert::From<&str>>::from(#name), ::redraft_engine::schema::Hidden::#kind))
    });
    let hidden = hidden.chain(inputs.iter().filter(|input| input.hidden).map(|input| {
        let name = &input.name;
        quote!((<::std::string::String as ::std::convert::From<&str>>::from(#name), ::redraft_engine::schema::Hidden::Any))
    }));
    let inputs = declared(inputs);
    quote! {
        ::redraft_engine::schema::Schema {
            class: <::std::string::String as ::std::convert::From<&str>>::from(#class),
            display_name: <::std::string::String as ::std::convert::From<&str>>::from(#display),
            category: <::std::string::String as ::std::convert::From<&str>>::from(#category),
            description: <::std::string::String as ::std::convert::From<&str>>::from(#description),
            inputs: #inputs,
            hidden: ::std::vec![#(#hidden),*],
            // What `Run::Out` declares; filled in where the class is registered.
            outputs: ::std::vec::Vec::new(),
            output_node: #output,
            deprecated: #deprecated,
            experimental: #experimental,
        }
    }
}

/// The declarations of inputs, a vector.
pub(crate) fn declared(inputs: &[InputField]) -> TokenStream {
    let parts = inputs.iter().filter(|input| !input.rest && !input.hidden).map(|input| {
        let (ty, schema) = (&input.field.ty, input.schema());
        match input.flatten {
            true => quote!(<#ty as ::redraft_engine::io::Inputs>::declare()),
            false => quote!(::std::vec![#schema]),
        }
    });
    quote!(<[::std::vec::Vec<::redraft_engine::schema::Input>]>::concat(&[#(#parts),*]))
}

/// The fields, each with what it takes of `args`.
pub(crate) fn taken(inputs: &[InputField]) -> Vec<TokenStream> {
    let take = inputs.iter().map(|input| {
        let (field, name, ty) = (&input.field.ident, &input.name, &input.field.ty);
        match (input.rest, input.flatten) {
            (true, _) => quote!(#field: args.rest()?),
            (_, true) => quote!(#field: <#ty as ::redraft_engine::io::Inputs>::take(args)?),
            _ => quote!(#field: args.take(#name)?),
        }
    });
    take.collect()
}

/// Whether any of them takes a socket's whole list.
pub(crate) fn takes_lists(inputs: &[InputField]) -> TokenStream {
    let each = inputs.iter().filter(|input| !input.rest).map(|input| {
        let ty = &input.field.ty;
        match input.flatten {
            true => quote!(<#ty as ::redraft_engine::io::Inputs>::LISTS),
            false => quote!(<#ty as ::redraft_engine::io::Field>::LIST),
        }
    });
    quote!(false #(|| #each)*)
}

pub(crate) fn fields(input: &DeriveInput) -> Result<Vec<&Field>> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(fields.named.iter().collect()),
            Fields::Unit => Ok(Vec::new()),
            Fields::Unnamed(_) => Err(Error::new_spanned(input, "a node's inputs are named fields")),
        },
        _ => Err(Error::new_spanned(input, "a node is a struct whose fields are its inputs")),
    }
}

#[derive(Default)]
struct NodeOptions {
    class: Option<String>,
    display: Option<String>,
    category: String,
    output: bool,
    deprecated: bool,
    experimental: bool,
    not_idempotent: bool,
    revision: Option<LitInt>,
    hidden: Vec<LitStr>,
    reads: Vec<LitStr>,
    validates: Vec<LitStr>,
    validates_types: bool,
}

impl NodeOptions {
    fn parse(input: &DeriveInput) -> Result<Self> {
        let mut this = Self::default();
        for attribute in input.attrs.iter().filter(|a| a.path().is_ident("node")) {
            attribute.parse_nested_meta(|meta| this.option(&meta))?;
        }
        if this.category.is_empty() {
            return Err(Error::new_spanned(&input.ident, "a node needs #[node(category = \"...\")]"));
        }
        Ok(this)
    }

    fn option(&mut self, meta: &ParseNestedMeta) -> Result<()> {
        let name = meta.path.require_ident()?.to_string();
        match name.as_str() {
            "class" => self.class = Some(text(meta)?),
            "display" => self.display = Some(text(meta)?),
            "category" => self.category = text(meta)?,
            "output" => self.output = true,
            "deprecated" => self.deprecated = true,
            "experimental" => self.experimental = true,
            "not_idempotent" => self.not_idempotent = true,
            "revision" => self.revision = Some(meta.value()?.parse()?),
            "hidden" => self.hidden = texts(meta)?,
            "reads" => self.reads = texts(meta)?,
            "validates" => self.validates = texts(meta)?,
            "validates_types" => self.validates_types = true,
            _ => return Err(meta.error(format!("there is no node option `{name}`"))),
        }
        Ok(())
    }

    fn traits(&self, inputs: &[InputField]) -> TokenStream {
        let revision = self.revision.as_ref().map_or(quote!(0), |revision| quote!(#revision));
        let reads = &self.reads;
        // A node that knows its own id is itself.
        let not_idempotent = self.not_idempotent || self.hidden.iter().any(|hidden| hidden.value() == "unique_id");
        let (validates, validates_types) = (&self.validates, self.validates_types);
        let variadic = inputs.iter().any(|input| input.rest);
        let takes_lists = takes_lists(inputs);
        quote! {
            ::redraft_engine::node::Traits {
                revision: #revision,
                takes_lists: #takes_lists,
                not_idempotent: #not_idempotent,
                reads: &[#(#reads),*],
                variadic: #variadic,
                validates: &[#(#validates),*],
                validates_types: #validates_types,
            }
        }
    }
}

fn text(meta: &ParseNestedMeta) -> Result<String> {
    Ok(meta.value()?.parse::<LitStr>()?.value())
}

fn texts(meta: &ParseNestedMeta) -> Result<Vec<LitStr>> {
    let content;
    parenthesized!(content in meta.input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

pub(crate) struct InputField<'a> {
    pub(crate) field: &'a Field,
    pub(crate) name: String,
    /// `Widget`'s fields that the attribute sets.
    widget: Vec<TokenStream>,
    lazy: bool,
    force_input: bool,
    /// Takes what the class does not declare.
    pub(crate) rest: bool,
    /// Only a node made at run time can be given it.
    pub(crate) hidden: bool,
    /// It is a group of inputs.
    pub(crate) flatten: bool,
    /// A variant of `Beyond`.
    beyond: TokenStream,
}

impl<'a> InputField<'a> {
    pub(crate) fn parse(field: &'a Field) -> Result<Self> {
        let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let name = name.trim_start_matches("r#").to_owned();
        let mut this = Self {
            field,
            name,
            widget: Vec::new(),
            lazy: false,
            force_input: false,
            rest: false,
            hidden: false,
            flatten: false,
            beyond: quote!(Nowhere),
        };
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("input")) {
            attribute.parse_nested_meta(|meta| this.option(&meta))?;
        }
        Ok(this)
    }

    fn option(&mut self, meta: &ParseNestedMeta) -> Result<()> {
        let ident = meta.path.require_ident()?;
        match ident.to_string().as_str() {
            "default" | "min" | "max" | "step" | "round" => {
                let value: Expr = meta.value()?.parse()?;
                self.widget.push(quote!(#ident: ::std::option::Option::Some(
                    <::redraft_engine::io::Literal as ::std::convert::From<_>>::from(#value)
                )));
            }
            "multiline" | "dynamic_prompts" => self.widget.push(quote!(#ident: true)),
            "control_after_generate" => {
                self.widget.push(quote!(control_after_generate: ::redraft_engine::schema::Control::On));
            }
            "files" => {
                let folder: LitStr = meta.value()?.parse()?;
                self.widget.push(quote!(files: ::std::option::Option::Some(#folder)));
            }
            "besides" => {
                let names: Expr = meta.value()?.parse()?;
                self.widget.push(quote!(besides: &#names));
            }
            "upload" => {
                let kind: syn::Ident = meta.value()?.parse()?;
                self.widget.push(quote!(upload: ::std::option::Option::Some(::redraft_engine::schema::Upload::#kind)));
            }
            "prefix" => {
                let prefix: LitStr = meta.value()?.parse()?;
                self.widget.push(quote!(prefix: ::std::option::Option::Some(#prefix)));
            }
            "beyond" => {
                let side: syn::Ident = meta.value()?.parse()?;
                self.beyond = quote!(#side);
            }
            "name" => self.name = text(meta)?,
            "lazy" => self.lazy = true,
            "force_input" => self.force_input = true,
            "rest" => self.rest = true,
            "hidden" => self.hidden = true,
            "flatten" => self.flatten = true,
            other => return Err(meta.error(format!("there is no input option `{other}`"))),
        }
        Ok(())
    }

    pub(crate) fn schema(&self) -> TokenStream {
        let Self { field, name, widget, lazy, force_input, beyond, .. } = self;
        let (ty, tooltip) = (&field.ty, documentation(&field.attrs));
        quote! {
            ::redraft_engine::schema::Input {
                name: <::std::string::String as ::std::convert::From<&str>>::from(#name),
                kind: <#ty as ::redraft_engine::io::Field>::kind(::redraft_engine::io::Widget {
                    #(#widget,)*
                    ..::std::default::Default::default()
                }),
                optional: <#ty as ::redraft_engine::io::Field>::OPTIONAL,
                lazy: #lazy || <#ty as ::redraft_engine::io::Field>::LAZY,
                force_input: #force_input,
                raw_link: <#ty as ::redraft_engine::io::Field>::RAW,
                beyond: ::redraft_engine::schema::Beyond::#beyond,
                tooltip: <::std::string::String as ::std::convert::From<&str>>::from(#tooltip),
            }
        }
    }
}
