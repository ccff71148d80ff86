//! The closed vocabulary of problems: what each code means and what to do about it.
//!
//! One table feeds the answers, the pages under `/problems`, the specification and the tests.

/// Which operations can answer with a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every operation.
    Every,
    /// Operations that read a JSON body.
    Bodies,
    /// Operations with a variable part in their path.
    Rows,
    /// Operations that are not public.
    Guarded,
    /// These, and operations that are not public.
    GuardedAnd(&'static [&'static str]),
    /// These operations, by their id.
    Operations(&'static [&'static str]),
    /// No operation: the path or the method itself is wrong, so there is none.
    Nowhere,
    /// Not an answer to a request: it stands in the `error` of a task.
    Tasks,
}

/// One kind of problem.
#[derive(Debug)]
pub struct Code {
    /// What clients switch on; it never changes.
    pub name: &'static str,
    /// The HTTP status. For a problem of a task, the status its page would have: 500.
    pub status: u16,
    /// A short summary that is the same for every occurrence.
    pub title: &'static str,
    /// What has happened.
    pub meaning: &'static str,
    /// What the reader can do about it.
    pub remedy: &'static str,
    /// Where it occurs.
    pub scope: Scope,
}

impl Code {
    /// The code by its name, with `_` or with `-` as in a problem's `type`.
    pub fn find(name: &str) -> Option<&'static Self> {
        let name = name.replace('-', "_");
        ALL.iter().copied().find(|code| code.name == name)
    }

    /// The reference that identifies the problem, which this API also serves.
    pub fn reference(&self) -> String {
        format!("/problems/{}", self.name.replace('_', "-"))
    }
}

macro_rules! codes {
    ($($ident:ident: $name:literal, $status:literal, $scope:expr, $title:literal, $meaning:literal, $remedy:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $ident: Code = Code {
                name: $name,
                status: $status,
                title: $title,
                meaning: $meaning,
                remedy: $remedy,
                scope: $scope,
            };
        )*
        /// Every code, ordered by status.
        pub static ALL: &[&Code] = &[$(&$ident),*];
    };
}

codes! {
    MALFORMED_REQUEST: "malformed_request", 400, Scope::Every,
        "The request cannot be read",
        "The request breaks the rules of HTTP, or its body ended before all of it had arrived.",
        "Send the request again with a library that speaks HTTP/1.1.";
    MALFORMED_JSON: "malformed_json", 400, Scope::Bodies,
        "The body is not JSON",
        "The body is empty, is not JSON, or nests more than 32 levels deep.",
        "Send one JSON object, encoded as UTF-8. `detail` says where reading stopped.";
    INVALID_PARAMETER: "invalid_parameter", 400, Scope::Every,
        "A parameter is not valid",
        "A parameter of the query or a header has a value that the operation does not take.",
        "`errors` names the parameter and says what it takes.";
    MALFORMED_IDEMPOTENCY_KEY: "malformed_idempotency_key", 400, Scope::Operations(KEYED),
        "The idempotency key is not valid",
        "`Idempotency-Key` is empty, longer than 255 characters, or has characters outside printable ASCII.",
        "Send one fresh random value for each intent, for example a UUID.";
    IDEMPOTENCY_KEY_REQUIRED: "idempotency_key_required", 400, Scope::Operations(&["send_email"]),
        "The idempotency key is missing",
        "The operation has an effect that cannot be taken back, so it is not done without an `Idempotency-Key`.",
        "Send one fresh random value for each intent, for example a UUID, and the same one when you repeat the request.";
    TOKEN_REQUIRED: "token_required", 401, Scope::Guarded,
        "Somebody has to sign in",
        "The operation is not public, and `Authorization: Bearer TOKEN` is missing.",
        "Sign in with `POST /v1/login`, and send the access token.";
    TOKEN_INVALID: "token_invalid", 401, Scope::Guarded,
        "The token is not valid",
        "The token is not one of this system, or its session has ended, or there is more than one.",
        "Sign in again, and send the access token as it is: `Authorization: Bearer TOKEN`.";
    TOKEN_EXPIRED: "token_expired", 401, Scope::Guarded,
        "The token is too old",
        "The token was good for some minutes, which are over.",
        "Exchange the refresh token with `POST /v1/refresh`.";
    CREDENTIALS_INVALID: "credentials_invalid", 401, Scope::Operations(&["login", "change_password", "change_address", "delete_me", "begin_second_factor", "confirm_second_factor", "delete_second_factor", "renew_recovery_codes"]),
        "The address or the password is wrong",
        "There is no account with this address and this password.",
        "Check both, or choose a new password with `POST /v1/password/forgot`.";
    SECOND_FACTOR_REQUIRED: "second_factor_required", 401, Scope::Operations(&["login"]),
        "Signing in takes a code, too",
        "The address and the password are right, and the owner of the account wants a code besides.",
        "Send the same again with `code`: the six digits that the app shows, or a recovery code.";
    SECOND_FACTOR_INVALID: "second_factor_invalid", 401, Scope::Operations(&["login", "confirm_second_factor", "delete_second_factor", "renew_recovery_codes"]),
        "The code is not valid",
        "The code is not one of the account, is of another time, or was taken before.",
        "Wait for the next code of the app, and look whether its clock is right. Each recovery code is good once.";
    REFRESH_TOKEN_INVALID: "refresh_token_invalid", 401, Scope::Operations(&["refresh"]),
        "The refresh token is not valid",
        "The refresh token is unknown, was used before, or its session has ended. One that was used before ends its session.",
        "Sign in again.";
    PERMISSION_MISSING: "permission_missing", 403, Scope::Guarded,
        "The caller may not do this",
        "The account, or the key, does not have the permission that the operation takes.",
        "`detail` names the permission. Operators of a system without accounts send the `LYO_OPERATOR_TOKEN` of its API as a bearer token.";
    SESSION_REQUIRED: "session_required", 403, Scope::Operations(&["logout", "change_password", "change_address", "delete_me", "create_key", "impersonate_user", "begin_second_factor", "confirm_second_factor", "delete_second_factor", "renew_recovery_codes"]),
        "Only somebody who has signed in may do this",
        "The request came without a session: from this machine, with an operator token or with a key.",
        "Sign in with `POST /v1/login`.";
    ACCOUNT_SUSPENDED: "account_suspended", 403, Scope::Operations(&["login"]),
        "The account is suspended",
        "A moderator has suspended the account.",
        "Write to those who run the platform.";
    SIGNATURE_INVALID: "signature_invalid", 403, Scope::Operations(&["receive_sendgrid_events"]),
        "The signature is not valid",
        "The signature is missing, is not that of the service for this body, or is older than ten minutes. Or the key of the service is not configured.",
        "Give the API the verification key that the service shows: `SENDGRID_WEBHOOK_KEY`.";
    ORIGIN_NOT_ALLOWED: "origin_not_allowed", 403, Scope::Every,
        "The request comes from another site",
        "A browser sent the request for a page of another origin.",
        "Use the API from its own pages, or from a program that is not a browser. An operator names the sites that may use it in `LYO_ORIGINS`.";
    NOT_FOUND: "not_found", 404, Scope::Rows,
        "There is nothing with this id",
        "What the path names does not exist, was deleted, or belongs to somebody else.",
        "Check the id. A course that was deleted stays deleted.";
    LINK_INVALID: "link_invalid", 404, Scope::Operations(&["show_unsubscribe", "unsubscribe", "verify", "reset_password", "get_signed_file"]),
        "The link is not valid",
        "The link is not one that was made here, was altered or used before, or is too old.",
        "Use the link of a newer mail, or ask for a new one.";
    NO_SUCH_PATH: "no_such_path", 404, Scope::Nowhere,
        "There is nothing at this path",
        "The API has no operation at this path.",
        "Look the path up in /docs.";
    METHOD_NOT_ALLOWED: "method_not_allowed", 405, Scope::Nowhere,
        "The path does not take this method",
        "The path exists, but not with this method.",
        "Use one of the methods that `Allow` lists.";
    NOT_ACCEPTABLE: "not_acceptable", 406, Scope::Every,
        "The answer has no acceptable form",
        "`Accept` excludes every media type that the operation can answer with.",
        "Accept the media type that /docs lists for the operation, or leave the header out.";
    BODY_TIMEOUT: "body_timeout", 408, Scope::Bodies,
        "The body took too long",
        "The body did not arrive within 20 seconds.",
        "Send the request again. It has changed nothing.";
    COURSE_NOT_FINISHED: "course_not_finished", 409, Scope::Operations(&["export_course"]),
        "The course is not finished",
        "The course is still being written, or writing it has failed.",
        "Wait until the task of the course is done; lessons can be read one by one before that.";
    TASK_LIVE: "task_live", 409, Scope::Operations(&["delete_task", "retry_task"]),
        "The task has not ended",
        "Only a task that has ended, with all of its family, can be deleted or retried.",
        "Cancel the task or wait until it is done.";
    TASK_SUCCEEDED: "task_succeeded", 409, Scope::Operations(&["retry_task"]),
        "The task has succeeded",
        "There is nothing to try again.",
        "Submit a new task to do the work once more.";
    TOO_MANY_KEYS: "too_many_keys", 409, Scope::Operations(&["create_key"]),
        "There are too many keys",
        "One account has 50 keys at most.",
        "Revoke one that is no longer used.";
    SECOND_FACTOR_ON: "second_factor_on", 409, Scope::Operations(&["begin_second_factor"]),
        "The account has a second factor",
        "An account has one app at most.",
        "To change to another app, turn the second factor off first.";
    NOT_OVER_THEM: "not_over_them", 409, Scope::Operations(&["suspend_user", "restore_user", "grant_role", "impersonate_user"]),
        "Nobody may do this to themselves, or to somebody who may do more",
        "The account is the caller's own, or has a permission that the caller does not have.",
        "Ask another admin.";
    TOO_MANY_SCHEDULES: "too_many_schedules", 409, Scope::Operations(&["create_schedule"]),
        "There are too many schedules",
        "One owner has 100 schedules at most.",
        "Delete one that is no longer needed.";
    ADDRESS_TAKEN: "address_taken", 409, Scope::Operations(&["verify"]),
        "Somebody has an account with this address",
        "While the link waited, the address became that of another account.",
        "Sign in there, or choose a new password for that account.";
    OFFSET_MISMATCH: "offset_mismatch", 409, Scope::Operations(&["append_upload", "complete_upload"]),
        "The piece does not fit",
        "`Upload-Offset` is not how much has arrived, the piece is longer than what is missing, or another request has added one meanwhile.",
        "Ask with HEAD how much has arrived, and go on from there.";
    PRESIGNING_UNAVAILABLE: "presigning_unavailable", 409, Scope::Operations(&["create_presigned_upload"]),
        "Files do not lie in a bucket",
        "Only a bucket takes files past this server.",
        "Use `POST /v1/files`, or `/v1/uploads` for large files on bad lines.";
    TOO_MANY_PARTS: "too_many_parts", 409, Scope::Operations(&["append_upload"]),
        "The pieces are too small",
        "An upload has 10,000 pieces at most.",
        "Begin a new upload and send larger pieces: a few megabytes each.";
    TOO_MANY_UPLOADS: "too_many_uploads", 409, Scope::Operations(&["create_upload", "create_presigned_upload"]),
        "There are too many uploads",
        "One owner has 100 uploads at most that have not ended.",
        "Complete or delete one; each ends by itself after a day.";
    TOO_MANY_VARIANTS: "too_many_variants", 409, Scope::Operations(&["create_thumbnails"]),
        "The picture has too many thumbnails",
        "Of one picture, 64 variants are kept at most: 32 sizes, each in two formats.",
        "Use the sizes that are there. They go with the file.";
    PRECONDITION_FAILED: "precondition_failed", 412, Scope::Operations(&["delete_course", "update_schedule"]),
        "It has changed in the meantime",
        "`If-Match` names another version than the present one.",
        "Read it again, decide again, and send the ETag that you then got.";
    TUS_VERSION_NOT_SUPPORTED: "tus_version_not_supported", 412, Scope::Operations(&["create_upload", "append_upload"]),
        "Another version of tus is spoken here",
        "`Tus-Resumable` is missing, or is not 1.0.0.",
        "Send `Tus-Resumable: 1.0.0`.";
    BODY_TOO_LARGE: "body_too_large", 413, Scope::Bodies,
        "The body is too large",
        "The body has more bytes than the operation reads: 64 KiB, or 1 MiB for a batch and for events.",
        "Send less at once.";
    FILE_TOO_LARGE: "file_too_large", 413, Scope::Operations(&["create_file", "create_upload"]),
        "The file is too large",
        "A file has 4 GiB at most.",
        "Cut it into several files.";
    QUOTA_EXCEEDED: "quota_exceeded", 413, Scope::Operations(&["create_file", "create_upload", "create_presigned_upload"]),
        "There is no room left",
        "One owner has 100,000 files and 20 GiB at most, uploads that have not ended included.",
        "Delete files that are no longer needed.";
    UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type", 415, Scope::Bodies,
        "The body is not declared as what the operation reads",
        "`Content-Type` is missing, or is not what the operation reads: application/json for most.",
        "Send the `Content-Type` that /docs lists for the operation.";
    RANGE_NOT_SATISFIABLE: "range_not_satisfiable", 416, Scope::Operations(&["get_file_content", "get_file_variant", "get_signed_file"]),
        "There are no such bytes",
        "`Range` begins after the last byte.",
        "`detail` says how many bytes there are.";
    HOST_NOT_ALLOWED: "host_not_allowed", 421, Scope::Every,
        "The request is for another host",
        "`Host` is no name of this API. Without that check, a web page could reach the API through a name that it has pointed here.",
        "Use localhost, 127.0.0.1 or [::1], or a name that an operator has given the API in `LYO_HOSTS`.";
    VALIDATION_FAILED: "validation_failed", 422, Scope::Bodies,
        "The request is not valid",
        "The body is JSON, but a field is missing, unknown, or has a value out of bounds.",
        "`errors` names each field by a JSON pointer and says what it takes.";
    IDEMPOTENCY_MISMATCH: "idempotency_mismatch", 422, Scope::Operations(KEYED),
        "The idempotency key was used for something else",
        "Within the last 24 hours, the same `Idempotency-Key` came with a different request to this operation.",
        "Use a fresh key for each intent, and repeat a request unchanged.";
    DIGEST_MISMATCH: "digest_mismatch", 422, Scope::Operations(&["append_upload", "complete_upload"]),
        "The file did not arrive as it was sent",
        "What has arrived has another SHA-256 than the client said. It was forgotten.",
        "Begin a new upload.";
    NOT_A_PICTURE: "not_a_picture", 422, Scope::Operations(&["create_thumbnails"]),
        "The file is no picture",
        "Thumbnails are made of JPEG, PNG, GIF and WebP, as the first bytes of the file say.",
        "Bring the picture in one of these formats.";
    UPGRADE_REQUIRED: "upgrade_required", 426, Scope::Nowhere,
        "This path speaks WebSocket",
        "The request does not ask for a WebSocket of version 13 (RFC 6455).",
        "Open it with a WebSocket client, or poll the task with `Prefer: wait=30`.";
    PRECONDITION_REQUIRED: "precondition_required", 428, Scope::Operations(&["update_schedule"]),
        "The version to replace is missing",
        "The edit replaces all that is there, so it is not done without an `If-Match`: somebody else's edit would be lost unseen.",
        "Read it, decide, and send the ETag that you got as `If-Match`; `*` replaces whatever is there.";
    RATE_LIMITED: "rate_limited", 429, Scope::GuardedAnd(THROTTLED),
        "Too many requests",
        "The operation was asked for more often than its policy admits. `RateLimit-Policy` and `RateLimit` of every other answer say how much that is, and what is left.",
        "Wait for the seconds that `Retry-After` says.";
    TOO_MANY_SOCKETS: "too_many_sockets", 429, Scope::Nowhere,
        "There are too many WebSockets",
        "One caller keeps at most 1,000 of them open.",
        "Subscribe to several tasks on one WebSocket: up to 100.";
    TOO_MANY_ARRIVING: "too_many_arriving", 429, Scope::Operations(ARRIVING),
        "Too many files arrive at once",
        "One caller brings at most 8 files at the same time.",
        "Wait until one of them has arrived.";
    INTERNAL: "internal", 500, Scope::Every,
        "Something went wrong on our side",
        "The server met a condition that it does not know how to handle. The log has the reason under the same `request_id`.",
        "Try again. If it happens again, report the `request_id`.";
    QUEUE_DRAINING: "queue_draining", 503, Scope::Operations(&["submit_task", "submit_tasks", "create_course", "send_email", "create_file", "append_upload", "complete_upload", "create_thumbnails", "register", "verify", "change_address"]),
        "The queue takes no new tasks",
        "An operator drains the queue: it finishes what it has.",
        "Try again after `Retry-After`, with the same `Idempotency-Key`.";
    DATABASE_UNAVAILABLE: "database_unavailable", 503, Scope::Every,
        "The database does not answer",
        "The database refused a connection, had none free in time, or broke off.",
        "Try again after `Retry-After`, with the same `Idempotency-Key`.";
    REQUEST_TIMEOUT: "request_timeout", 503, Scope::Every,
        "The answer took too long",
        "The server gave the request up after 30 seconds. Whether it took effect is unknown.",
        "Try again with the same `Idempotency-Key`.";
    STORAGE_UNAVAILABLE: "storage_unavailable", 503, Scope::Operations(STORED),
        "The storage does not answer",
        "Where the bytes of files lie is away, busy, or not configured.",
        "Try again after `Retry-After`, with the same `Idempotency-Key`.";
    BYTES_BEING_DELETED: "bytes_being_deleted", 503, Scope::Operations(ARRIVING),
        "The same bytes are being deleted",
        "Nobody had a file with these bytes any more, so they are on their way out. That takes seconds, and three minutes at most.",
        "Try again after `Retry-After`.";
    SERVER_BUSY: "server_busy", 503, Scope::Operations(ARRIVING),
        "The server is busy",
        "As many files arrive, or as many sockets are open, as this server has room for.",
        "Try again after `Retry-After`.";
    STORAGE_FULL: "storage_full", 507, Scope::Operations(ARRIVING),
        "The storage is full",
        "There is no room for more bytes. Nothing of this file was stored; of an upload, what had arrived before is kept.",
        "Try again when the operator has made room.";
    WORKER_LOST: "worker_lost", 500, Scope::Tasks,
        "The worker stopped",
        "The worker fell silent in the middle of the attempt. The task is tried again unless its attempts are used up.",
        "If every attempt ends like this, the task itself brings its worker down: report it.";
    TIMEOUT: "timeout", 500, Scope::Tasks,
        "The attempt took too long",
        "The attempt took longer than tasks of its kind may.",
        "Retry the task; what it had finished is kept.";
    PANICKED: "panicked", 500, Scope::Tasks,
        "Something went wrong on our side",
        "The attempt met a condition that the worker does not know how to handle.",
        "Retry the task. If it happens again, report it.";
    MODEL_UNAVAILABLE: "model_unavailable", 500, Scope::Tasks,
        "The model cannot be loaded",
        "The language model is missing, is damaged, or cannot be downloaded. The task waits and tries again.",
        "`detail` says what to do: check LYO_MODEL and the network, or set LYO_MODEL_FALLBACK=starter.";
    ENGINE: "engine", 500, Scope::Tasks,
        "The model failed",
        "The language model failed in the middle of an answer. The task tries again.",
        "If it happens again, there may be too little memory for the model.";
    PROMPT_TOO_LONG: "prompt_too_long", 500, Scope::Tasks,
        "The question does not fit into the model",
        "What the brief asks for is longer than the model's context.",
        "Shorten the notes and the objectives, or use a model with a larger context.";
    SCHEMA_REFUSED: "schema_refused", 500, Scope::Tasks,
        "The form of the answer was refused",
        "The form that an answer has to have cannot be enforced.",
        "Report it: trying again does not help.";
    ANSWER_UNREADABLE: "answer_unreadable", 500, Scope::Tasks,
        "The model did not answer in the right form",
        "Each answer of the model was cut off or had another form.",
        "Retry the task afresh, or use a larger model.";
    NO_LESSON_WRITTEN: "no_lesson_written", 500, Scope::Tasks,
        "No lesson could be written",
        "Every lesson of the course failed. The lessons' own tasks say why.",
        "Retry the task, or use a larger model.";
    PAYLOAD_INVALID: "payload_invalid", 500, Scope::Tasks,
        "The payload cannot be read",
        "The worker does not understand the payload of the task.",
        "Check that workers and API are of the same release.";
    OUTCOME_REFUSED: "outcome_refused", 500, Scope::Tasks,
        "The result could not be stored",
        "The database refused what the attempt had made.",
        "Report it: trying again does not help.";
    EMAIL_REFUSED: "email_refused", 500, Scope::Tasks,
        "The mail was refused",
        "The mail provider does not take this mail, or takes none from this account.",
        "`detail` says what the provider said. Retrying the task is safe: the mail was not sent.";
    EMAIL_UNAVAILABLE: "email_unavailable", 500, Scope::Tasks,
        "The mail provider cannot be reached",
        "The mail provider is away or busy. The task tries again; the mail was not sent.",
        "Retry the task when the provider is back.";
    EMAIL_UNKNOWN: "email_unknown", 500, Scope::Tasks,
        "Nobody knows whether the mail was sent",
        "The connection or the worker broke off after the provider was asked, and the provider has not told since. The mail is not sent again.",
        "Look at the mail: its status changes if the provider tells later. To rather send it twice than not at all, ask for a new mail.";
    FILE_DAMAGED: "file_damaged", 500, Scope::Tasks,
        "The file is damaged",
        "The stored bytes are not those that were brought.",
        "Bring the file again.";
    IMAGES_UNAVAILABLE: "images_unavailable", 500, Scope::Tasks,
        "The picture could not be read now",
        "The process that reads pictures could not be started, or did not answer in time. The task tries again.",
        "Retry the task.";
    IMAGE_EMPTY: "image_empty", 500, Scope::Tasks,
        "The picture is empty",
        "The file has no bytes.",
        "Bring the picture again.";
    IMAGE_UNSUPPORTED_TYPE: "image_unsupported_type", 500, Scope::Tasks,
        "The picture cannot be read",
        "It is not a JPEG, PNG, WebP or GIF, or a kind of it that nobody uses.",
        "Bring the picture in another format.";
    IMAGE_TOO_MANY_BYTES: "image_too_many_bytes", 500, Scope::Tasks,
        "The picture is too large",
        "Thumbnails are made of pictures of at most 64 MiB.",
        "Bring a smaller picture.";
    IMAGE_TOO_MANY_PIXELS: "image_too_many_pixels", 500, Scope::Tasks,
        "The picture is too large",
        "Its header promises more than 64 million pixels.",
        "Bring a smaller picture.";
    IMAGE_TOO_MUCH_MEMORY: "image_too_much_memory", 500, Scope::Tasks,
        "The picture is too large",
        "Reading it would need more than 256 MiB of memory.",
        "Bring a smaller picture.";
    IMAGE_TOO_MUCH_METADATA: "image_too_much_metadata", 500, Scope::Tasks,
        "The picture says too much of itself",
        "Its colour profile or its EXIF has more than 4 MiB.",
        "Bring the picture without them.";
    IMAGE_TRUNCATED: "image_truncated", 500, Scope::Tasks,
        "The picture is cut off",
        "The file ends before the picture does.",
        "Bring the picture again.";
    IMAGE_CORRUPT: "image_corrupt", 500, Scope::Tasks,
        "The picture is damaged",
        "Its bytes contradict its format.",
        "Bring the picture again.";
    IMAGE_TOO_SLOW: "image_too_slow", 500, Scope::Tasks,
        "The picture takes too long",
        "Reading it took more than 10 seconds of a processor.",
        "Bring the picture in another format.";
    IMAGE_CRASHED: "image_crashed", 500, Scope::Tasks,
        "The picture cannot be read",
        "The process that read it died, twice.",
        "Report it, with the picture.";
    ASKED_TO_FAIL: "asked_to_fail", 500, Scope::Tasks,
        "The task was asked to fail",
        "The payload of the diagnostic kind said so.",
        "Nothing: this is what was asked for.";
    ASKED_TO_RETRY: "asked_to_retry", 500, Scope::Tasks,
        "The attempt was asked to fail",
        "The payload of the diagnostic kind said so; the task is tried again.",
        "Nothing: this is what was asked for.";
}

/// The operations that take an `Idempotency-Key`.
pub const KEYED: &[&str] = &[
    "submit_task",
    "submit_tasks",
    "create_course",
    "cancel_task",
    "retry_task",
    "create_schedule",
    "cancel_tasks",
    "retry_tasks",
    "send_email",
    "create_file",
    "create_thumbnails",
];

/// The operations that read or write the bytes of files.
pub const STORED: &[&str] = &[
    "create_file",
    "get_file_content",
    "get_file_variant",
    "get_signed_file",
    "create_upload",
    "append_upload",
    "delete_upload",
    "create_presigned_upload",
    "complete_upload",
];

/// The operations by which the bytes of files arrive.
pub const ARRIVING: &[&str] = &[
    "create_file",
    "create_upload",
    "append_upload",
    "complete_upload",
];

/// The operations that are admitted only so often.
pub const THROTTLED: &[&str] = &[
    "register",
    "verify",
    "login",
    "refresh",
    "change_password",
    "forgot_password",
    "reset_password",
    "change_address",
    "delete_me",
];
