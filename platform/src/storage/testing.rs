//! Storages that misbehave: one on which nothing can be written, and one that takes its time.

use std::{fmt, io, sync::Arc};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

use tokio::sync::Semaphore;

use super::Storage;

impl Storage {
    /// A storage that is empty, and full.
    pub fn full() -> Self {
        let store = Arc::new(Full);
        Self {
            patient: store.clone(),
            store,
            prefix: String::new(),
            signer: None,
            folder: None,
        }
    }

    /// This storage, where each reading waits for a permit and uses it up.
    #[must_use]
    pub fn gated(self, gate: Arc<Semaphore>) -> Self {
        let store = self.store;
        Self {
            store: Arc::new(Gated { store, gate }),
            ..self
        }
    }
}

/// A store where reading waits.
#[derive(Debug)]
struct Gated {
    store: Arc<dyn ObjectStore>,
    gate: Arc<Semaphore>,
}

impl fmt::Display for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gated {}", self.store)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Gated {
    async fn put_opts(
        &self,
        path: &Path,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.store.put_opts(path, bytes, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        // A gate that was closed for good holds nobody up.
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
        self.store.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("full")
    }
}

fn full() -> Error {
    Error::Generic {
        store: "full",
        source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
    }
}

fn nothing(path: &Path) -> Error {
    Error::NotFound {
        path: path.to_string(),
        source: "nothing was ever written".into(),
    }
}

#[async_trait::async_trait]
impl ObjectStore for Full {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(full())
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(full())
    }

    async fn get_opts(&self, path: &Path, _: GetOptions) -> Result<GetResult> {
        Err(nothing(path))
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        paths.map(|path| Err(nothing(&path?))).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::empty().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(nothing(&Path::default()))
    }

    async fn copy_opts(&self, from: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(nothing(from))
    }
}
