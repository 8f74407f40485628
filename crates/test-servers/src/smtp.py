"""A mail server for tests (aiosmtpd). It runs in its folder, and keeps each mail there as a file.

Arguments: address port tls user password; tls is plain, starttls or tls, with cert.pem and key.pem in the folder; user
"" lets everybody send. Addresses that begin with "refused" are refused for good, and all of them for now while there is
a file named busy. A password that is wrong is repeated in the answer, as no server should.
"""

import asyncio
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

address, port, tls, user, password = sys.argv[1:]


class Keep:
    count = 0

    async def handle_RCPT(self, server, session, envelope, to, options):
        if os.path.exists("busy"):
            return "451 4.3.2 come back later"
        if to.startswith("refused"):
            return f"550 5.1.1 nobody of the name {to}"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        Keep.count += 1
        encrypted = server.transport.get_extra_info("sslcontext") is not None
        head = f"{envelope.mail_from}\n{' '.join(envelope.rcpt_tos)}\n{'tls' if encrypted else 'plain'}\n"
        with open("mail.tmp", "wb") as file:
            file.write(head.encode() + envelope.original_content)
        # At once whole, or not there.
        os.rename("mail.tmp", f"{Keep.count:06}.mail")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    if (data.login, data.password) == (user.encode(), password.encode()):
        return AuthResult(success=True)
    return AuthResult(success=False, handled=False, message=f"535 5.7.8 not {data.password.decode()}")


def secured():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain("cert.pem", "key.pem")
    return context


def server():
    login = dict(authenticator=authenticate, auth_required=True, auth_require_tls=tls == "starttls") if user else {}
    starttls = dict(tls_context=secured(), require_starttls=True) if tls == "starttls" else {}
    return SMTP(Keep(), hostname="localhost", **login, **starttls)


async def main():
    loop = asyncio.get_running_loop()
    wrapped = secured() if tls == "tls" else None
    listener = await loop.create_server(server, address, int(port), ssl=wrapped)
    await listener.serve_forever()


asyncio.run(main())
