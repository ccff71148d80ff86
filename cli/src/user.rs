//! `lyo user`: accounts, from the machine that has the database.

use anyhow::{Context, ensure};
use api::{IdentityArgs, PasswordArgs};
use chrono::TimeDelta;
use clap::{Args, Subcommand};
use models::{
    Address, Db, DbOptions, OwnerId,
    audit::{self, Action, Deed},
    contacts, credentials, passwords,
    roles::Role,
    second_factors,
    sessions::{self, Origin},
    users::{self, NewUser},
};
use platform::config::{DataArgs, DatabaseArgs, Secret};

use crate::keys;

/// Random letters of a password that nobody chose: 100 bits.
const DRAWN_LETTERS: usize = 20;

/// What to do with accounts.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account whose address counts as confirmed.
    Create(CreateArgs),
    /// Give an account a role.
    Grant(GrantArgs),
    /// Turn the second factor of an account off, for an owner who has lost app and recovery codes.
    DisableSecondFactor(DisableArgs),
    /// Print an access token for an account.
    Token(TokenArgs),
}

/// Where the accounts are.
#[derive(Clone, Debug, Args)]
struct Place {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// An account to make.
#[derive(Clone, Debug, Args)]
pub(crate) struct CreateArgs {
    /// Its mail address.
    address: String,

    /// How the person is called.
    #[arg(long, default_value = "Author")]
    name: String,

    /// The language to write in.
    #[arg(long, default_value = "en")]
    language: String,

    /// What it is: guest, learner, author, moderator, operator or admin.
    #[arg(long, default_value_t = Role::Author)]
    role: Role,

    /// Its password [default: one is drawn and printed]
    #[arg(long, env = "LYO_USER_PASSWORD", hide_env_values = true)]
    password: Option<Secret>,

    #[command(flatten)]
    passwords: PasswordArgs,

    #[command(flatten)]
    place: Place,
}

/// A role to give.
#[derive(Clone, Debug, Args)]
pub(crate) struct GrantArgs {
    /// The mail address of the account.
    address: String,

    /// What it shall be: guest, learner, author, moderator, operator or admin.
    role: Role,

    #[command(flatten)]
    place: Place,
}

/// A second factor to turn off.
#[derive(Clone, Debug, Args)]
pub(crate) struct DisableArgs {
    /// The mail address of the account.
    address: String,

    #[command(flatten)]
    place: Place,
}

/// A token to print.
#[derive(Clone, Debug, Args)]
pub(crate) struct TokenArgs {
    /// The mail address of the account [default: the author of this machine]
    address: Option<String>,

    /// How many hours it is good, at most 720.
    #[arg(long, value_name = "NUMBER", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=720))]
    hours: u16,

    #[command(flatten)]
    identity: IdentityArgs,

    #[command(flatten)]
    place: Place,
}

/// Runs one of the commands.
///
/// # Errors
/// When the database does not answer, the account is not as the command needs it, or its fields are
/// not valid.
pub(crate) async fn run(command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Create(args) => create(&args).await,
        UserCommand::Grant(args) => grant(&args).await,
        UserCommand::DisableSecondFactor(args) => disable(&args).await,
        UserCommand::Token(args) => token(&args).await,
    }
}

async fn create(args: &CreateArgs) -> anyhow::Result<()> {
    let address = Address::parse(&args.address)?;
    let name = contacts::check(Some(&args.name), &args.language)?.unwrap_or_default();
    let drawn = args.password.is_none().then(draw);
    let password = match (&args.password, &drawn) {
        (Some(password), _) => password.expose(),
        (None, drawn) => drawn.as_deref().unwrap_or_default(),
    };
    passwords::check(password, &[&name, address.as_str()])?;
    if let Some(breached) = &args.passwords.breached_passwords {
        breached.check(password)?;
    }
    let hash = passwords::hash(password)?;
    let db = args.place.open().await?;
    let (mut tx, now) = (db.begin().await?, db.now());
    let new = NewUser {
        id: OwnerId::new(),
        address: &address,
        name: &name,
        language: &args.language,
        role: args.role,
    };
    let user = users::create(&mut tx, &new, now).await?;
    credentials::put(&mut tx, user.id, &hash, now).await?;
    let deed = deed(Action::Registered, format!("users/{}", user.id));
    audit::append(&mut tx, &deed, now).await?;
    tx.commit().await?;
    println!("{} {} {}", user.id, user.address.as_str(), user.role);
    if let Some(password) = drawn {
        println!("Password: {password}");
    }
    Ok(())
}

async fn grant(args: &GrantArgs) -> anyhow::Result<()> {
    let address = Address::parse(&args.address)?;
    let db = args.place.open().await?;
    let (mut tx, now) = (db.begin().await?, db.now());
    let user = users::find_by_address(&mut tx, &address).await?;
    let user = user.context("there is no account with this address")?;
    let user = users::grant(&mut tx, user.id, args.role, now).await?;
    let subject = format!("users/{}/role/{}", user.id, user.role);
    audit::append(&mut tx, &deed(Action::RoleGranted, subject), now).await?;
    tx.commit().await?;
    println!("{} {} {}", user.id, user.address.as_str(), user.role);
    Ok(())
}

async fn disable(args: &DisableArgs) -> anyhow::Result<()> {
    let address = Address::parse(&args.address)?;
    let db = args.place.open().await?;
    let (mut tx, now) = (db.begin().await?, db.now());
    let user = users::find_by_address(&mut tx, &address).await?;
    let user = user.context("there is no account with this address")?;
    ensure!(
        second_factors::remove(&mut tx, user.id).await?,
        "the account has no second factor"
    );
    let subject = format!("users/{}", user.id);
    audit::append(&mut tx, &deed(Action::SecondFactorOff, subject), now).await?;
    tx.commit().await?;
    println!("{} {} {}", user.id, user.address.as_str(), user.role);
    Ok(())
}

async fn token(args: &TokenArgs) -> anyhow::Result<()> {
    let keys = keys::of(&args.identity, &args.place.data.folder()?)?;
    let db = args.place.open().await?;
    let (mut tx, now) = (db.begin().await?, db.now());
    let user = match &args.address {
        Some(address) => users::find_by_address(&mut tx, &Address::parse(address)?)
            .await?
            .context("there is no account with this address")?,
        None => users::local(&mut tx, now).await?,
    };
    let origin = Origin {
        agent: "lyo user token".to_owned(),
        ..Origin::default()
    };
    let session = sessions::create(&mut tx, user.id, &origin, now).await?;
    let deed = deed(Action::LoggedIn, format!("users/{}", user.id));
    audit::append(&mut tx, &deed, now).await?;
    tx.commit().await?;
    let lifetime = TimeDelta::hours(args.hours.into());
    println!(
        "{}",
        keys.sign(user.id, session.id, user.epoch, now, lifetime)
    );
    Ok(())
}

/// What is done here, as it is written down: whoever has the database is nobody in particular.
fn deed(action: Action, subject: String) -> Deed {
    Deed {
        actor: None,
        impersonator: None,
        action,
        subject,
        place: "command line".to_owned(),
        request_id: None,
    }
}

impl Place {
    async fn open(&self) -> anyhow::Result<Db> {
        let url = self.database.url(&self.data)?;
        let db = Db::connect(url.expose(), &DbOptions::default()).await?;
        db.migrate().await?;
        Ok(db)
    }
}

/// A password of letters that are not mistaken for each other.
fn draw() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letters = rand::random::<[u8; DRAWN_LETTERS]>();
    letters
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect()
}
