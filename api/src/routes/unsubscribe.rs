//! The link at the end of a letter. Whoever has it reads that mailbox, so nobody has to sign in.

use models::{
    Address, preferences,
    templates::Category,
    tokens::{self, Purpose},
};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Query, payload::Html};

use super::Tag;
use crate::{app::App, caller::Public, codes, problem::Problem};

/// The operations on the link.
pub(crate) struct Unsubscribe;

#[OpenApi(tag = "Tag::Emails")]
impl Unsubscribe {
    /// Shows a button that unsubscribes.
    ///
    /// Reading the page changes nothing: programs that look for viruses follow every link.
    #[oai(
        path = "/v1/unsubscribe",
        method = "get",
        operation_id = "show_unsubscribe"
    )]
    async fn show_unsubscribe(
        &self,
        app: Data<&App>,
        _public: Public,
        /// The token of the link.
        token: Query<String>,
    ) -> Result<Page, Problem> {
        let mut conn = app.conn().await?;
        let proof = tokens::find(&mut conn, &token, Purpose::Unsubscribe, app.db.now()).await?;
        let category = proof.ok_or_else(unknown)?.category;
        let question = format!(
            "<h1>Unsubscribe?</h1>\n<p>You will get no more mail about <strong>{}</strong>.</p>\n\
             <form method=\"post\"><button>Unsubscribe</button></form>",
            topic(category)
        );
        Ok(Page::Ok(Html(page(&question))))
    }

    /// Unsubscribes the reader of a letter from letters of its kind.
    ///
    /// Mail programs call this when their reader clicks once (RFC 8058). The token says everything, so
    /// the form that they send is not read. Again changes nothing.
    #[oai(
        path = "/v1/unsubscribe",
        method = "post",
        operation_id = "unsubscribe"
    )]
    async fn unsubscribe(
        &self,
        app: Data<&App>,
        _public: Public,
        /// The token of the link.
        token: Query<String>,
    ) -> Result<Page, Problem> {
        let (mut tx, now) = (app.begin().await?, app.db.now());
        let proof = tokens::find(&mut tx, &token, Purpose::Unsubscribe, now).await?;
        let proof = proof.ok_or_else(unknown)?;
        let address = Address::parse(&proof.recipient)?;
        preferences::put(&mut tx, &address, proof.category, false, now).await?;
        tx.commit().await?;
        let done = format!(
            "<h1>You are unsubscribed</h1>\n<p>You will get no more mail about <strong>{}</strong>.</p>",
            topic(proof.category)
        );
        Ok(Page::Ok(Html(page(&done))))
    }
}

fn unknown() -> Problem {
    Problem::new(&codes::LINK_INVALID, codes::LINK_INVALID.meaning)
}

fn topic(category: Category) -> &'static str {
    match category {
        Category::Account => "your account",
        Category::Courses => "your courses",
        Category::Digest => "what is new",
    }
}

/// There is no text of others in it, so there is nothing to escape.
fn page(content: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>Lyo: mail</title>\n\
         <style>body {{ font: 18px/1.5 system-ui, sans-serif; max-width: 32em; margin: 4em auto; padding: 0 1em }} button {{ font: inherit; padding: .5em 1.5em }}</style>\n\
         {content}\n</html>\n"
    )
}

#[derive(ApiResponse)]
enum Page {
    /// A page for the reader.
    #[oai(status = 200)]
    Ok(Html<String>),
}
