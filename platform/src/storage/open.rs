//! Opens the places where bytes may lie.

use std::{fs, path::Path, sync::Arc, time::Duration};

use object_store::{
    ClientOptions, RetryConfig, aws::AmazonS3Builder, gcp::GoogleCloudStorageBuilder,
    local::LocalFileSystem,
};

use super::{Error, Result, Storage};

/// How long a bucket may take to take a connection, and between two signs of life.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a request is tried again, and for how long.
const RETRIES_MAX: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

impl Storage {
    /// A folder of this machine, which is made when it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        // What was acknowledged outlives a loss of power.
        let store = Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true));
        Ok(Self {
            patient: store.clone(),
            store,
            prefix: String::new(),
            signer: None,
            folder: Some(folder.canonicalize()?),
        })
    }

    /// A bucket: `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`. `options` come before the
    /// environment; their names are those of its variables, in lower case.
    ///
    /// # Errors
    /// When the address or the configuration is wrong. It is not asked whether the bucket is there.
    pub fn bucket(url: &str, options: &[(&str, &str)]) -> Result<Self> {
        let wrong = |reason: &str| Error::Unavailable(format!("{url} {reason}"));
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong("names no bucket"));
        }
        let prefix = prefix.trim_end_matches('/').to_owned();
        match scheme {
            "s3" => Self::s3(bucket, prefix, options),
            "gs" => Self::google(bucket, prefix),
            _ => Err(wrong("is neither s3:// nor gs://")),
        }
    }

    fn s3(bucket: &str, prefix: String, options: &[(&str, &str)]) -> Result<Self> {
        // Without TLS only where the address of a private server says so: Amazon's own is https.
        let mut builder = AmazonS3Builder::from_env()
            .with_client_options(client().with_allow_http(true))
            .with_retry(retry())
            .with_bucket_name(bucket);
        for (name, value) in options {
            builder = builder.with_config(name.parse()?, *value);
        }
        let store = Arc::new(builder.clone().build()?);
        let patient = builder.with_client_options(patient().with_allow_http(true));
        Ok(Self {
            store: store.clone(),
            patient: Arc::new(patient.build()?),
            prefix,
            signer: Some(store),
            folder: None,
        })
    }

    fn google(bucket: &str, prefix: String) -> Result<Self> {
        let builder = GoogleCloudStorageBuilder::from_env()
            .with_client_options(client())
            .with_retry(retry())
            .with_bucket_name(bucket);
        let store = Arc::new(builder.clone().build()?);
        let patient = builder.with_client_options(patient());
        Ok(Self {
            store: store.clone(),
            patient: Arc::new(patient.build()?),
            prefix,
            signer: Some(store),
            folder: None,
        })
    }
}

/// Large bodies may take their time, as long as they move.
fn client() -> ClientOptions {
    patient().with_read_timeout(READ_TIMEOUT)
}

/// For what takes a bucket as long as there are bytes: whoever waits has a bound of their own.
fn patient() -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_read_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
}

fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_name_no_bucket_are_refused() {
        for url in ["", "s3://", "s3:///prefix", "ftp://bucket/x", "bucket"] {
            assert!(Storage::bucket(url, &[]).is_err(), "{url}");
        }
    }
}
