"""What a schema cannot say: rules that depend on earlier requests or on the time."""

import re
import uuid

import schemathesis

ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}@([a-z0-9]{1,63}\.){1,3}[a-z]{2,63}")


@schemathesis.hook
def before_call(context, case, kwargs):
    headers = case.headers or {}
    key = headers.get("Idempotency-Key", headers.get("IDEMPOTENCY-KEY"))
    # A key that was used for another request is refused, rightly.
    if key and key.isascii() and key.isprintable() and len(key) <= 255:
        for name in list(headers):
            if name.lower() == "idempotency-key":
                headers[name] = str(uuid.uuid4())
    # tus is spoken in headers.
    if case.path.startswith("/v1/uploads"):
        for name in list(headers):
            if name.lower() in ("tus-resumable", "upload-length", "upload-offset", "upload-metadata"):
                del headers[name]
        headers.update({"Tus-Resumable": "1.0.0", "Upload-Length": "4", "Upload-Offset": "0"})
        case.headers = headers
        if case.method.upper() == "PATCH":
            headers["Content-Type"] = "application/offset+octet-stream"
    body = case.body if isinstance(case.body, dict) else {}
    # A task that expires before it may start is refused, rightly.
    if isinstance(body.get("expires_at"), str):
        body["expires_at"] = None
    # The end of a pause has to be in the future, and a queue that drains refuses what the others send.
    if body.get("mode") == "draining":
        body["mode"] = "open"
    if "paused_until" in body:
        body["paused_until"] = None
    # When something is to happen is a language of its own; a bulk action needs a condition.
    if isinstance(body.get("cron"), str):
        body["cron"] = "30 7 * * 1-5"
        if isinstance(body.get("time_zone"), str):
            body["time_zone"] = "Europe/Berlin"
    if case.path.startswith("/v1/admin/tasks/") and body is case.body:
        body["kind"] = body.get("kind") or "noop"
    # How easily a password is guessed, no schema can say.
    for field in ("password", "new"):
        if isinstance(body.get(field), str) and 10 <= len(body[field]) <= 256:
            body[field] = "plankton wedding copper 47"
    # Nobody is written to at an address that is not their account's.
    address = body.get("address")
    if case.path == "/v1/contact" and isinstance(address, str) and len(address) <= 254:
        body["address"] = None if ADDRESS.fullmatch(address) else address
