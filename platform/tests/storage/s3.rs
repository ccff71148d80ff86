//! A server that speaks S3, over a folder.

use std::{error::Error, fs, net::SocketAddr, path::Path};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use platform::storage::Storage;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::{net::TcpListener, task::JoinHandle};

type TestResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

const KEY: &str = "key";
const SECRET: &str = "secret";

/// A running server with one bucket, named `bucket`; dropped, it stops.
pub(crate) struct Server {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(folder: &Path) -> TestResult<Self> {
        fs::create_dir_all(folder.join("bucket"))?;
        let files = FileSystem::new(folder).map_err(|error| format!("{error:?}"))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    // A connection that breaks is the client's to notice.
                    drop(http.serve_connection(TokioIo::new(socket), service).await);
                });
            }
        });
        Ok(Self { address, serving })
    }

    /// The bucket, as we see it.
    pub(crate) fn storage(&self, url: &str) -> TestResult<Storage> {
        let endpoint = format!("http://{}", self.address);
        let options = [
            ("aws_endpoint", endpoint.as_str()),
            ("aws_access_key_id", KEY),
            ("aws_secret_access_key", SECRET),
            ("aws_region", "test"),
        ];
        Ok(Storage::bucket(url, &options)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
