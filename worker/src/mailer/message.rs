//! A mail as bytes of RFC 5322, for SMTP and for the folder.

use std::{fmt, str::FromStr};

use anyhow::{Context, anyhow};
use lettre::{
    Message,
    address::Envelope,
    message::{
        Attachment, Body, Mailbox, MultiPart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};
use models::{Address, address::person};

use super::Outgoing;

/// Who mail is from: `NAME <ADDRESS>` or `ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The name that readers see.
    pub name: Option<String>,
    /// The address that answers go to.
    pub address: Address,
}

impl Default for Sender {
    fn default() -> Self {
        let address = Address::parse("no-reply@lyo.localhost");
        Self {
            name: Some("Lyo".to_owned()),
            address: address.expect("a test parses it"),
        }
    }
}

impl FromStr for Sender {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) = match text
            .trim()
            .strip_suffix('>')
            .and_then(|t| t.split_once('<'))
        {
            Some((name, address)) => (Some(name.trim()), address),
            None => (None, text.trim()),
        };
        let name = name.filter(|name| !name.is_empty()).map(person).transpose();
        Ok(Self {
            name: name.map_err(|error| anyhow!("the name {}", error.to_string().trim()))?,
            address: Address::parse(address)
                .map_err(|error| anyhow!("the address {}", error.to_string().trim()))?,
        })
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address.as_str()),
            None => f.write_str(self.address.as_str()),
        }
    }
}

/// The name that a mail has in the world: the same whenever it is written.
pub(super) fn message_id(mail: &Outgoing, from: &Sender) -> String {
    format!("<{}@{}>", mail.id, from.address.domain())
}

/// The headers that let a mail program unsubscribe with one click (RFC 8058).
pub(super) fn unsubscribe_headers(mail: &Outgoing) -> Vec<(&'static str, String)> {
    let Some(url) = &mail.unsubscribe_url else {
        return Vec::new();
    };
    vec![
        ("List-Unsubscribe", format!("<{url}>")),
        (
            "List-Unsubscribe-Post",
            "List-Unsubscribe=One-Click".to_owned(),
        ),
    ]
}

/// The mail with its envelope. An error means that it can never be written.
pub(super) fn build(mail: &Outgoing, from: &Sender) -> anyhow::Result<(Envelope, Vec<u8>)> {
    let mut message = Message::builder()
        .message_id(Some(message_id(mail, from)))
        .from(mailbox(from.name.as_deref(), &from.address)?)
        .to(mailbox(mail.name.as_deref(), &mail.to)?)
        .subject(&mail.content.subject)
        .date_now();
    for (name, value) in unsubscribe_headers(mail) {
        message = message.raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str(name),
            value,
        ));
    }
    let both =
        MultiPart::alternative_plain_html(mail.content.text.clone(), mail.content.html.clone());
    let message = if mail.attachments.is_empty() {
        message.multipart(both)?
    } else {
        let mut mixed = MultiPart::mixed().multipart(both);
        for attachment in &mail.attachments {
            let media_type = ContentType::parse(attachment.media_type.as_str())
                .context("the media type of an attachment")?;
            let part = Attachment::new(attachment.name.clone());
            // Always encoded: the line ends of a file as it is would not be those of a mail.
            let encoding = ContentTransferEncoding::Base64;
            let body = Body::new_with_encoding(attachment.bytes()?, encoding);
            let body = body.map_err(|_| anyhow!("an attachment that cannot be encoded"))?;
            mixed = mixed.singlepart(part.body(body, media_type));
        }
        message.multipart(mixed)?
    };
    Ok((message.envelope().clone(), message.formatted()))
}

fn mailbox(name: Option<&str>, address: &Address) -> anyhow::Result<Mailbox> {
    let parsed = address.as_str().parse();
    // Without the address: this text may reach a log.
    let parsed = parsed.map_err(|_| anyhow!("an address that cannot be written"))?;
    Ok(Mailbox::new(name.map(str::to_owned), parsed))
}

#[cfg(test)]
pub(super) mod tests {
    use mail::{Language, links, render, variables};
    use models::{
        EmailId,
        emails::{Attachment as File, MediaType},
        templates::Template,
    };

    use super::*;

    /// A mail with everything in it.
    pub(crate) fn outgoing() -> anyhow::Result<Outgoing> {
        let template = Template::CourseReady;
        Ok(Outgoing {
            id: EmailId::new(),
            to: Address::parse("ada+tides@bücher.example")?,
            name: Some("Zoë \"山\" Lovelace, Countess".to_owned()),
            category: template.category(),
            content: render(
                template,
                Language::De,
                &variables(template),
                links(template),
            )?,
            unsubscribe_url: links(template).unsubscribe_url(),
            attachments: vec![File {
                name: "Übersicht.md".to_owned(),
                media_type: MediaType::Markdown,
                base64: "IyBHZXplaXRlbgo=".to_owned(),
            }],
        })
    }

    #[test]
    fn a_sender_has_a_name_or_none() -> anyhow::Result<()> {
        let named: Sender = "Lyo Courses <no-reply@lyo.example>".parse()?;
        assert_eq!(named.name.as_deref(), Some("Lyo Courses"));
        assert_eq!(named.to_string(), "Lyo Courses <no-reply@lyo.example>");
        assert_eq!("a@b.example".parse::<Sender>()?.name, None);
        assert_eq!(
            Sender::default().to_string().parse::<Sender>()?,
            Sender::default()
        );
        for text in [
            "",
            "Lyo",
            "Lyo <a@b.example",
            "a\nb <a@b.example>",
            "x <a@localhost>",
        ] {
            assert!(text.parse::<Sender>().is_err(), "{text}");
        }
        Ok(())
    }

    #[test]
    fn every_line_is_ascii_and_short_and_no_header_has_a_second_line_of_its_own()
    -> anyhow::Result<()> {
        let mail = outgoing()?;

        let (envelope, bytes) = build(&mail, &Sender::default())?;

        let text = String::from_utf8(bytes)?;
        assert!(text.is_ascii());
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
        assert!(
            text.lines().all(|line| line.len() <= 998),
            "RFC 5322, section 2.1.1"
        );
        let (head, _) = text.split_once("\r\n\r\n").ok_or(anyhow!("no body"))?;
        let names: Vec<_> = head
            .lines()
            .filter(|line| !line.starts_with([' ', '\t']))
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_owned())
            .collect();
        let known = [
            "Message-ID",
            "From",
            "To",
            "Subject",
            "Date",
            "List-Unsubscribe",
            "List-Unsubscribe-Post",
            "MIME-Version",
            "Content-Type",
        ];
        assert_eq!(names, known);
        assert!(head.contains(&format!("Message-ID: <{}@lyo.localhost>", mail.id)));
        assert_eq!(
            envelope.to()[0].to_string(),
            "ada+tides@xn--bcher-kva.example"
        );
        Ok(())
    }
}
