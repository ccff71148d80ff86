//! The languages that letters are written in, and what stands under every letter.

/// A language that every letter is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// English, which is also for those whose language is missing.
    En,
    /// German.
    De,
}

impl Language {
    /// Every language.
    pub const ALL: &'static [Self] = &[Self::En, Self::De];

    /// The language for a tag of BCP 47: itself without region and script, or English.
    pub fn find(tag: &str) -> Self {
        let primary = tag.split('-').next().unwrap_or_default();
        let matching = |language: &&Self| language.tag().eq_ignore_ascii_case(primary);
        Self::ALL.iter().find(matching).copied().unwrap_or(Self::En)
    }

    /// Its tag.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    /// Why the reader gets the letter, when it can be refused and when it cannot.
    pub(crate) const fn why(self, refusable: bool) -> &'static str {
        match (self, refusable) {
            (Self::En, true) => "You get this mail because of your settings at Lyo.",
            (Self::En, false) => "You get this mail because it concerns your account at Lyo.",
            (Self::De, true) => "Sie erhalten diese E-Mail wegen Ihrer Einstellungen bei Lyo.",
            (Self::De, false) => "Sie erhalten diese E-Mail, weil sie Ihr Konto bei Lyo betrifft.",
        }
    }

    /// The label of the link that refuses such letters.
    pub(crate) const fn unsubscribe(self) -> &'static str {
        match self {
            Self::En => "Unsubscribe",
            Self::De => "Abbestellen",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_falls_back_to_its_language_and_the_rest_to_english() {
        for (tag, language) in [
            ("de", Language::De),
            ("DE-at", Language::De),
            ("de-Latn-CH-1996", Language::De),
            ("en-GB", Language::En),
            ("tlh", Language::En),
            ("", Language::En),
        ] {
            assert_eq!(Language::find(tag), language, "{tag}");
        }
    }
}
