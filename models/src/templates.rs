//! The letters that can be sent: what each is about, and which variables it takes.
//!
//! The text of a letter is elsewhere; what may be said in it is a rule, checked when a mail is
//! submitted, so that no mail fails later for a variable.

use serde_json::{Map, Value};

use crate::{
    address::is_unsafe,
    error::{Error, Result},
    tokens::Purpose,
    words,
};

words! {
    /// What a reader can be written to about.
    Category {
        /// About the account itself: cannot be unsubscribed from.
        Account = "account",
        /// About courses of the reader's own.
        Courses = "courses",
        /// Now and then, what is new.
        Digest = "digest",
    }
}

words! {
    /// A kind of letter.
    Template {
        /// Asks to confirm an address.
        VerifyEmail = "verify_email",
        /// Lets somebody choose a new password.
        ResetPassword = "reset_password",
        /// Asks whether an account may move to another address.
        ChangeAddress = "change_address",
        /// Greets somebody new.
        Welcome = "welcome",
        /// Tells an author that a course is written.
        CourseReady = "course_ready",
        /// Tells of something that matters for the safety of the account.
        SecurityNotice = "security_notice",
        /// Sums up what is new.
        Digest = "digest",
    }
}

/// What a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// One plain line of 1 to so many characters.
    Line(usize),
    /// A path below the public address of the site, of at most so many bytes: `/courses/7`. Letters
    /// link to our own site only, so nobody can send somebody else's link in our name.
    Path(usize),
    /// A whole number from 0 to this.
    Count(u64),
    /// From 1 to so many plain lines, each of 1 to so many characters.
    Lines(usize, usize),
}

/// One variable of a letter. Every variable is required.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// What it stands for, for those who fill it in.
    pub about: &'static str,
}

const NAME: Variable = Variable {
    name: "name",
    holds: Holds::Line(100),
    about: "How the reader is called",
};

const fn variable(name: &'static str, holds: Holds, about: &'static str) -> Variable {
    Variable { name, holds, about }
}

impl Template {
    /// What the letter is about, which decides who may refuse it.
    pub const fn category(self) -> Category {
        match self {
            Self::CourseReady => Category::Courses,
            Self::Digest => Category::Digest,
            Self::VerifyEmail
            | Self::ResetPassword
            | Self::ChangeAddress
            | Self::Welcome
            | Self::SecurityNotice => Category::Account,
        }
    }

    /// What the link of the letter proves, if it carries a single-use token.
    pub const fn purpose(self) -> Option<Purpose> {
        match self {
            Self::VerifyEmail | Self::ChangeAddress => Some(Purpose::Verify),
            Self::ResetPassword => Some(Purpose::Reset),
            _ => None,
        }
    }

    /// The variables that it takes, all of them required.
    pub const fn variables(self) -> &'static [Variable] {
        match self {
            Self::VerifyEmail | Self::ResetPassword | Self::ChangeAddress | Self::Welcome => {
                const { &[NAME] }
            }
            Self::CourseReady => {
                const {
                    &[
                        NAME,
                        variable("title", Holds::Line(200), "The title of the course"),
                        variable("lessons", Holds::Count(1_000), "How many lessons it has"),
                        variable("path", Holds::Path(500), "Where it can be read"),
                    ]
                }
            }
            Self::SecurityNotice => {
                const {
                    &[
                        NAME,
                        variable("event", Holds::Line(200), "What happened"),
                        variable(
                            "time",
                            Holds::Line(60),
                            "When, as the reader would write it",
                        ),
                        variable("place", Holds::Line(120), "From where: a city, a device"),
                    ]
                }
            }
            Self::Digest => {
                const {
                    &[
                        NAME,
                        variable("period", Holds::Line(60), "The time that it covers"),
                        variable("items", Holds::Lines(20, 200), "What is new, a line each"),
                        variable("path", Holds::Path(500), "Where to read more"),
                    ]
                }
            }
        }
    }

    /// Refuses variables that the letter does not take, by JSON pointer into them.
    pub fn check(self, variables: &Map<String, Value>) -> Result<()> {
        for variable in self.variables() {
            let pointer = format!("/{}", variable.name);
            let value = variables
                .get(variable.name)
                .ok_or_else(|| Error::invalid(&pointer, "is required"))?;
            variable.holds.check(value, &pointer)?;
        }
        let known = |name: &str| self.variables().iter().any(|known| known.name == name);
        match variables.keys().find(|name| !known(name)) {
            Some(unknown) => Err(Error::invalid(
                format!("/{}", unknown.replace('~', "~0").replace('/', "~1")),
                format!("is not a variable of {self}"),
            )),
            None => Ok(()),
        }
    }
}

impl Holds {
    fn check(self, value: &Value, pointer: &str) -> Result<()> {
        let refused = |reason: String| Err(Error::invalid(pointer, reason));
        match (self, value) {
            (Self::Line(max), Value::String(text)) => line(text, max, pointer),
            (Self::Path(max), Value::String(path)) if is_path(path, max) => Ok(()),
            (Self::Path(max), Value::String(_)) => refused(format!(
                "must be a path such as /courses/7, of at most {max} bytes"
            )),
            (Self::Count(max), Value::Number(count)) => match count.as_u64() {
                Some(count) if count <= max => Ok(()),
                _ => refused(format!("must be from 0 to {max}")),
            },
            (Self::Lines(most, max), Value::Array(lines)) => {
                if lines.is_empty() || lines.len() > most {
                    return refused(format!("must have from 1 to {most} entries"));
                }
                for (index, text) in lines.iter().enumerate() {
                    Self::Line(max).check(text, &format!("{pointer}/{index}"))?;
                }
                Ok(())
            }
            (Self::Line(_) | Self::Path(_), _) => refused("must be a string".to_owned()),
            (Self::Count(_), _) => refused("must be a whole number".to_owned()),
            (Self::Lines(..), _) => refused("must be an array of strings".to_owned()),
        }
    }
}

fn line(text: &str, max: usize, pointer: &str) -> Result<()> {
    if text.chars().any(is_unsafe) {
        return Err(Error::invalid(
            pointer,
            "must not contain control characters",
        ));
    }
    if text.trim().is_empty() || text.chars().count() > max {
        return Err(Error::invalid(
            pointer,
            format!("must have from 1 to {max} characters"),
        ));
    }
    Ok(())
}

/// An absolute path that cannot be read as another host, and needs no escaping.
fn is_path(path: &str, max: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/?=&#%+:@".contains(&b);
    path.len() <= max && path.starts_with('/') && !path.starts_with("//") && path.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(template: Template, variables: &Value) -> Option<String> {
        let empty = Map::new();
        match template.check(variables.as_object().unwrap_or(&empty)) {
            Err(Error::Invalid { field, .. }) => Some(field),
            _ => None,
        }
    }

    #[test]
    fn every_rule_names_the_variable() {
        let digest =
            |items: Value| json!({"name": "Ann", "period": "May", "items": items, "path": "/news"});
        let ready =
            |path: &str| json!({"name": "Ann", "title": "Tides", "lessons": 6, "path": path});
        let at = |pointer: &str| Some(pointer.to_owned());

        assert_eq!(refused(Template::Welcome, &json!({"name": "Ann"})), None);
        assert_eq!(refused(Template::Welcome, &json!({})), at("/name"));
        assert_eq!(refused(Template::Welcome, &json!({"name": 7})), at("/name"));
        assert_eq!(
            refused(Template::Welcome, &json!({"name": "a\r\nb"})),
            at("/name")
        );
        assert_eq!(
            refused(Template::Welcome, &json!({"name": "\u{202e}a"})),
            at("/name")
        );
        assert_eq!(
            refused(Template::Welcome, &json!({"name": "a".repeat(101)})),
            at("/name")
        );
        let unknown = json!({"name": "Ann", "a/b": 1});
        assert_eq!(refused(Template::Welcome, &unknown), at("/a~1b"));
        assert_eq!(refused(Template::CourseReady, &ready("/courses/7")), None);
        for path in [
            "courses",
            "//evil.example",
            "https://evil.example",
            "/a b",
            "/\"x",
            "/a\\b",
        ] {
            assert_eq!(
                refused(Template::CourseReady, &ready(path)),
                at("/path"),
                "{path}"
            );
        }
        assert_eq!(refused(Template::Digest, &digest(json!(["a"]))), None);
        assert_eq!(refused(Template::Digest, &digest(json!([]))), at("/items"));
        assert_eq!(
            refused(Template::Digest, &digest(json!(["a", ""]))),
            at("/items/1")
        );
        assert_eq!(
            refused(Template::Digest, &digest(json!(vec!["a"; 21]))),
            at("/items")
        );
    }

    #[test]
    fn only_letters_about_the_account_cannot_be_refused() {
        let refusable = |template: &&Template| template.category() != Category::Account;
        let refusable: Vec<_> = Template::ALL.iter().filter(refusable).collect();

        assert_eq!(refusable, [&Template::CourseReady, &Template::Digest]);
    }
}
