"""A mail server that is picky, and a `lyo dev` that has to cope with it: see scripts/smtp."""

import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from email import message_from_bytes, policy

import dkim
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

USER, PASSWORD = "lyo", "pa:ss/w@rd"
PATIENCE = 120


class Server:
    """Takes mail, unless the receiver's name says otherwise."""

    def __init__(self):
        self.mails, self.said = {}, Counter()

    def authenticate(self, server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USER.encode(),
            PASSWORD.encode(),
        )
        self.said["AUTH accepted" if good else "AUTH refused"] += 1
        return AuthResult(success=good)

    async def handle_RCPT(self, server, session, envelope, address, options):
        assert session.ssl, "RCPT before STARTTLS"
        assert session.authenticated, "RCPT before AUTH"
        name = address.split("@")[0]
        if name == "nobody":
            self.said["550"] += 1
            return f"550 5.1.1 <{address}>: no such user"
        if name == "busy" and self.said["451"] < 2:
            self.said["451"] += 1
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        name = envelope.rcpt_tos[0].split("@")[0]
        self.mails.setdefault(name, []).append(envelope.original_content)
        if name == "silence":
            self.said["taken, then hung up"] += 1
            server.transport.abort()
            return "421 never arrives"
        self.said["250"] += 1
        return "250 2.0.0 queued as 4711"


class Lyo:
    """A `lyo dev` that sends by this server."""

    def __init__(self, binary, work, port, ca, key, selector, password=PASSWORD):
        secret = urllib.request.quote(password, safe="")
        environment = os.environ | {
            "LYO_DATA": f"{work}/data-{selector}",
            "LYO_MODEL": f"path:{work}/no-model",
            "LYO_EMAIL": f"smtp://{USER}:{secret}@localhost:{port}",
            "LYO_EMAIL_CA": ca,
            "LYO_EMAIL_FROM": "Lyo Courses <no-reply@lyo.example>",
            "LYO_EMAIL_DOUBT_WAIT": "1",
            "LYO_DKIM_DOMAIN": "lyo.example",
            "LYO_DKIM_SELECTOR": selector,
            "LYO_DKIM_KEY": key,
        }
        environment.pop("DATABASE_URL", None)
        self.log = open(f"{work}/log-{selector}", "w+")
        self.process = subprocess.Popen(
            [binary, "dev", "--port", "0"], env=environment, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        line = self.process.stdout.readline()
        assert line.startswith("Lyo runs at "), line
        self.base = line.removeprefix("Lyo runs at ").strip()

    def call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", "idempotency-key": os.urandom(8).hex()}
        request = urllib.request.Request(self.base + path, data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def send(self, local, **more):
        letter = {
            "template": "course_ready",
            "to": f"{local}@example.com",
            "language": "de",
            "variables": {"name": "Zoë", "title": "Gezeitentümpel 🦀", "lessons": 6, "path": "/courses/7"},
        }
        return self.call("/v1/emails", letter | more)

    def ended(self, task):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            task = self.call(task["links"]["self"])
            if task["done"]:
                return task, self.call(task["links"]["subject"])
            time.sleep(0.1)
        raise AssertionError(f"the task does not end: {task}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        self.log.seek(0)
        return self.log.read()


def keys(work):
    """A private key in PEM for each algorithm, and what DNS would say of it."""
    private = {"rsa": rsa.generate_private_key(65537, 2048), "ed25519": ed25519.Ed25519PrivateKey.generate()}
    made = {}
    for name, key in private.items():
        file = f"{work}/{name}.pem"
        with open(file, "wb") as out:
            out.write(
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
        form = (
            (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            if name == "ed25519"
            else (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        public = base64.b64encode(key.public_key().public_bytes(*form)).decode()
        made[name] = (file, f"v=DKIM1; k={name}; p={public}")
    return made


def check_mail(raw, record, selector):
    """What arrived, as a mail program sees it."""

    def dns(name, timeout=5):
        wanted = f"{selector}._domainkey.lyo.example."
        name = name.decode() if isinstance(name, bytes) else name
        return record.encode() if name == wanted else None

    assert dkim.verify(raw, dnsfunc=dns), "the DKIM signature does not verify"
    assert not dkim.verify(raw.replace(b"Subject: ", b"Subject: a"), dnsfunc=dns)
    mail = message_from_bytes(raw, policy=policy.default)
    assert not mail.defects, mail.defects
    assert mail["subject"] == "Ihr Kurs ist fertig: Gezeitentümpel 🦀", mail["subject"]
    assert mail["from"].addresses[0].addr_spec == "no-reply@lyo.example"
    assert mail["to"].addresses[0].display_name == "Zoë \"山\" Lovelace", mail["to"]
    assert mail["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert re.fullmatch(r"<https?://[^<>\s]+/v1/unsubscribe\?token=[\w-]{43}>", mail["list-unsubscribe"])
    text = mail.get_body(("plain",)).get_content()
    page = mail.get_body(("html",)).get_content()
    assert "Guten Tag Zoë," in text and "/courses/7" in text, text
    assert "<html" in page and "Gezeitentümpel 🦀" in page and "/courses/7" in page
    files = {part.get_filename(): part.get_content() for part in mail.iter_attachments()}
    assert files == {"Übersicht.md": "# Gezeiten\n", "punkt.png": b"\x89PNG"}, files
    return mail


def main(binary):
    server, work = Server(), tempfile.mkdtemp()
    authority = trustme.CA()
    ca = f"{work}/ca.pem"
    authority.cert_pem.write_to_path(ca)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listening = Controller(
        server,
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=server.authenticate,
    )
    listening.start()
    files = [
        {"name": "Übersicht.md", "media_type": "text/markdown", "base64": base64.b64encode("# Gezeiten\n".encode()).decode()},
        {"name": "punkt.png", "media_type": "image/png", "base64": base64.b64encode(b"\x89PNG").decode()},
    ]
    logs = ""
    for selector, (key, record) in keys(work).items():
        lyo = Lyo(binary, work, port, ca, key, selector)
        task, email = lyo.ended(lyo.send("ada", name='Zoë "山" Lovelace', attachments=files))
        assert (task["state"], email["status"]) == ("succeeded", "sent"), (task, email)
        assert "queued as 4711" in email["provider_id"], email
        check_mail(server.mails.pop("ada")[0], record, selector)
        logs += lyo.stop()
        print(f"{selector}: sent, parsed, both parts, attachments, DKIM verified")

    lyo = Lyo(binary, work, port, ca, key, selector)
    asked = {name: lyo.send(name) for name in ["busy", "nobody", "silence", "bob+plus"]}
    became = {name: lyo.ended(task) for name, task in asked.items()}
    logs += lyo.stop()
    for name, (task, email) in became.items():
        error = (task["error"] or {}).get("code")
        detail = (task["error"] or {}).get("detail")
        print(f"{name}: {task['state']} after {task['attempt']} starts, {email['status']}, {error}: {detail}")
    ends = {name: (task["state"], email["status"]) for name, (task, email) in became.items()}
    assert ends == {
        "busy": ("succeeded", "sent"),
        "nobody": ("failed", "failed"),
        "silence": ("failed", "unknown"),
        "bob+plus": ("succeeded", "sent"),
    }, ends
    assert {name: len(mails) for name, mails in server.mails.items()} == {"busy": 1, "silence": 1, "bob+plus": 1}
    assert "nobody@" not in json.dumps(became["nobody"][0]), "the error of a task names an address"

    wrong = Lyo(binary, work, port, ca, key, selector, password="wrong")
    asked = wrong.send("carol")
    deadline = time.monotonic() + PATIENCE
    while not server.said["AUTH refused"]:
        assert time.monotonic() < deadline, "it never tried"
        time.sleep(0.1)
    assert wrong.call(asked["links"]["subject"])["status"] != "sent"
    logs += wrong.stop()
    listening.stop()
    assert "carol" not in server.mails
    for secret in ["example.com", PASSWORD, "wrong@", "token="]:
        assert secret not in logs, f"the log has {secret}"
    print("the server said:", dict(server.said))


main(sys.argv[1])
