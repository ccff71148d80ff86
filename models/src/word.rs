//! Closed vocabularies: enums stored and sent as fixed words.

/// Declares an enum whose values are words in the database, in JSON and in addresses alike.
#[macro_export]
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$about:meta])* $value:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive($crate::macros::serde::Serialize, $crate::macros::serde::Deserialize)]
        #[serde(crate = "models::macros::serde")]
        pub enum $name { $($(#[$about])* #[serde(rename = $word)] $value),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The word that stands for it everywhere outside of this program.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(word: &str) -> $crate::Result<Self> {
                let words = [$($word),+].join(", ");
                Self::ALL.iter().copied().find(|value| value.as_str() == word).ok_or_else(|| {
                    $crate::Error::invalid("", format!("must be one of {words}"))
                })
            }
        }

        impl<DB: $crate::macros::sqlx::Database> $crate::macros::sqlx::Type<DB> for $name
        where
            String: $crate::macros::sqlx::Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <String as $crate::macros::sqlx::Type<DB>>::type_info()
            }

            fn compatible(info: &DB::TypeInfo) -> bool {
                <String as $crate::macros::sqlx::Type<DB>>::compatible(info)
            }
        }

        impl<'q, DB: $crate::macros::sqlx::Database> $crate::macros::sqlx::Encode<'q, DB> for $name
        where
            &'q str: $crate::macros::sqlx::Encode<'q, DB>,
        {
            fn encode_by_ref(
                &self,
                buf: &mut <DB as $crate::macros::sqlx::Database>::ArgumentBuffer,
            ) -> Result<
                $crate::macros::sqlx::encode::IsNull,
                $crate::macros::sqlx::error::BoxDynError,
            > {
                $crate::macros::sqlx::Encode::<DB>::encode(self.as_str(), buf)
            }
        }

        impl<'r, DB: $crate::macros::sqlx::Database> $crate::macros::sqlx::Decode<'r, DB> for $name
        where
            String: $crate::macros::sqlx::Decode<'r, DB>,
        {
            fn decode(
                value: <DB as $crate::macros::sqlx::Database>::ValueRef<'r>,
            ) -> Result<Self, $crate::macros::sqlx::error::BoxDynError> {
                let word = <String as $crate::macros::sqlx::Decode<'r, DB>>::decode(value)?;
                Ok(word.parse()?)
            }
        }
    };
}
