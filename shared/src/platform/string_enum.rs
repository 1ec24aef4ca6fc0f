//! String enums: types with a fixed set of values that are the same in SQL, JSON and Rust.

/// Declares a string enum. It is deserialised from a string only: serde's derive
/// would also accept `{"web": null}`.
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
        #[serde(try_from = "String")]
        $vis enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            #[allow(dead_code)] // some enums are only deserialised
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(word: String) -> Result<Self, Self::Error> {
                match word.as_str() {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(concat!("must be one of:" $(, " ", $word)*)),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    words! {
        enum Channel {
            Web = "web",
            Voice = "voice",
        }
    }

    #[test]
    fn string_enum_accepts_only_its_values() {
        let read = serde_json::from_str::<Channel>;
        assert_eq!(read(r#""voice""#).unwrap(), Channel::Voice);
        assert_eq!(read(r#""mail""#).unwrap_err().to_string(), "must be one of: web voice");
        assert!(read(r#"{"web":null}"#).is_err());
        assert_eq!(serde_json::to_string(&Channel::Web).unwrap(), r#""web""#);
    }
}
