//! Strings with a fixed set of values: an enumeration in the OpenAPI document, and a check for filters.

use crate::problem::{Problem, ProblemKind};

/// Declares named lists of words: `words! { /// Status of the request. Status: "open", "closed"; }`. Each has `ALL`,
/// and is used as `#[schema(value_type = Status)]` of a text field.
#[macro_export]
macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident: $($word:literal),+;)+) => {$(
        $(#[doc = $doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl $name {
            pub const ALL: &'static [&'static str] = &[$($word),+];
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let text = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::String);
                text.description(Some(concat!($($doc),*).trim())).enum_values(Some($name::ALL.to_vec())).into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}

/// Refuses a text that is not one of `words`; None passes.
pub fn check_word(field: &str, text: Option<&str>, words: &[&str]) -> Result<(), Problem> {
    if text.is_none_or(|text| words.contains(&text)) {
        return Ok(());
    }
    let detail = format!("{field}: must be one of {}.", words.join(", "));
    Err(Problem::new(ProblemKind::InvalidRequest, detail).with("field", field))
}
