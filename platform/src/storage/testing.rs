//! A storage on which nothing can be written.

use std::{fmt, io, sync::Arc};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

use super::Storage;

impl Storage {
    /// A storage that is empty, and full.
    pub fn full() -> Self {
        Self {
            store: Arc::new(Full),
            prefix: String::new(),
            signer: None,
            folder: None,
        }
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
