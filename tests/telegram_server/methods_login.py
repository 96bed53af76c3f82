"""Configuration, logging in by code, password, QR code and bot token, and carrying an authorization to another DC."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from telethon.tl import functions, types

from tests.telegram_server import srp
from tests.telegram_server.errors import RpcRefused, bad
from tests.telegram_server.methods import Methods, Request
from tests.telegram_server.world import Person, now

methods = Methods()
auth = functions.auth


@dataclass
class Token:
    """A QR code's token: who asked for it, until when it is good, and who has scanned it."""

    key: int
    dc: int
    expires_at: float
    user: int = 0


@dataclass
class Logins:
    """What is known of logins that are under way."""

    hashes: dict[str, tuple[str, int]] = field(default_factory=dict)  # phone_code_hash: phone, key
    tokens: dict[bytes, Token] = field(default_factory=dict)
    exported: dict[int, tuple[bytes, int, int]] = field(default_factory=dict)  # user: bytes, user, DC
    token_s: float = 30.0
    expired_codes: bool = False


@methods.add(functions.help.GetConfigRequest, anyone=True)
def get_config(request: Request) -> Any:
    server = request.server
    dcs = server.dcs.values() if server.manners.names_dcs else ()
    options = [types.DcOption(id=dc.id, ip_address=dc.host, port=dc.port) for dc in dcs]
    numbers = dict.fromkeys(_CONFIG_NUMBERS, 1000)
    return types.Config(
        date=now(),
        expires=now() + dt.timedelta(hours=1),
        test_mode=False,
        this_dc=request.dc.id,
        dc_options=options,
        dc_txt_domain_name="",
        me_url_prefix="https://t.me/",
        **numbers,
    )


_CONFIG_NUMBERS = (
    *("chat_size_max", "megagroup_size_max", "forwarded_count_max", "online_update_period_ms"),
    *("offline_blur_timeout_ms", "offline_idle_timeout_ms", "online_cloud_timeout_ms", "notify_cloud_delay_ms"),
    *("notify_default_delay_ms", "push_chat_period_ms", "push_chat_limit", "edit_time_limit", "revoke_time_limit"),
    *("revoke_pm_time_limit", "rating_e_decay", "stickers_recent_limit", "channels_read_media_period"),
    *("call_receive_timeout_ms", "call_ring_timeout_ms", "call_connect_timeout_ms", "call_packet_timeout_ms"),
    *("caption_length_max", "message_length_max", "webfile_dc_id"),
)


@methods.add(functions.help.GetNearestDcRequest, anyone=True)
def nearest(request: Request) -> Any:
    return types.NearestDc("XX", request.dc.id, request.dc.id)


# ---- By code


def _application(request: Request) -> None:
    if (request.tl.api_id, request.tl.api_hash) != (request.server.api_id, request.server.api_hash):
        raise bad("API_ID_INVALID")


@methods.add(auth.SendCodeRequest, anyone=True)
def send_code(request: Request) -> Any:
    _application(request)
    phone = request.tl.phone_number.lstrip("+")
    if not phone.isdigit() or not 7 <= len(phone) <= 15:
        raise bad("PHONE_NUMBER_INVALID")
    person = _owner(request, phone)
    if person and person.dc != request.dc.id:
        raise RpcRefused(303, f"PHONE_MIGRATE_{person.dc}")
    number = secrets.token_hex(9)
    request.server.logins.hashes[number] = phone, request.key.id
    return types.auth.SentCode(types.auth.SentCodeTypeApp(5), number, types.auth.CodeTypeSms(), 60)


@methods.add(auth.ResendCodeRequest, anyone=True)
def resend_code(request: Request) -> Any:
    if request.tl.phone_code_hash not in request.server.logins.hashes:
        raise bad("PHONE_CODE_EXPIRED")
    return types.auth.SentCode(types.auth.SentCodeTypeSms(5), request.tl.phone_code_hash)


@methods.add(auth.CancelCodeRequest, anyone=True)
def cancel_code(request: Request) -> Any:
    return request.server.logins.hashes.pop(request.tl.phone_code_hash, None) is not None


def _owner(request: Request, phone: str) -> Person | None:
    return next((one for one in request.world.people.values() if one.phone and one.phone == phone), None)


@methods.add(auth.SignInRequest, anyone=True)
def sign_in(request: Request) -> Any:
    logins = request.server.logins
    phone = request.tl.phone_number.lstrip("+")
    if not request.tl.phone_code:
        raise bad("PHONE_CODE_EMPTY")
    if logins.hashes.get(request.tl.phone_code_hash) != (phone, request.key.id) or logins.expired_codes:
        raise bad("PHONE_CODE_EXPIRED")
    person = _owner(request, phone)
    if request.tl.phone_code != (person.code if person else "12345"):
        raise bad("PHONE_CODE_INVALID")
    del logins.hashes[request.tl.phone_code_hash]
    if person is None:
        return types.auth.AuthorizationSignUpRequired()
    return _enter(request, person)


def _enter(request: Request, person: Person) -> Any:
    if person.password:
        request.key.waits_for_password = person.id
        raise RpcRefused(401, "SESSION_PASSWORD_NEEDED")
    return authorize(request, person)


def authorize(request: Request, person: Person) -> Any:
    """Logs PERSON in with the request's key."""
    request.key.user, request.key.waits_for_password = person.id, 0
    return types.auth.Authorization(person.render(person.id))


# ---- By password


@methods.add(functions.account.GetPasswordRequest, anyone=True)
def get_password(request: Request) -> Any:
    person = request.world.people.get(request.key.user or request.key.waits_for_password)
    if person is None:
        raise RpcRefused(401, "AUTH_KEY_UNREGISTERED")
    empty = types.SecurePasswordKdfAlgoUnknown()
    if person.password is None:
        return types.account.Password(srp.new_algorithm(), empty, os.urandom(32))
    number, public = person.password.offer()
    return types.account.Password(
        new_algo=srp.new_algorithm(),
        new_secure_algo=empty,
        secure_random=os.urandom(32),
        has_password=True,
        current_algo=person.password.algorithm,
        srp_B=public,
        srp_id=number,
        hint=person.password.hint or None,
    )


@methods.add(auth.CheckPasswordRequest, anyone=True)
def check_password(request: Request) -> Any:
    person = request.world.people.get(request.key.waits_for_password)
    answer = request.tl.password
    if person is None or person.password is None or not isinstance(answer, types.InputCheckPasswordSRP):
        raise bad("PASSWORD_HASH_INVALID")
    if not person.password.knows(answer.srp_id):
        raise bad("SRP_ID_INVALID")
    if not person.password.check(answer.srp_id, answer.A, answer.M1):
        raise bad("PASSWORD_HASH_INVALID")
    return authorize(request, person)


# ---- By QR code


@methods.add(auth.ExportLoginTokenRequest, anyone=True)
def export_token(request: Request) -> Any:
    _application(request)
    tokens = request.server.logins.tokens
    scanned = next((text for text, token in tokens.items() if token.key == request.key.id and token.user), None)
    if scanned is not None:
        person = request.world.people[tokens[scanned].user]
        if person.dc != request.dc.id:
            return types.auth.LoginTokenMigrateTo(person.dc, scanned)
        del tokens[scanned]
        return types.auth.LoginTokenSuccess(_enter(request, person))
    text = os.urandom(16)
    life = request.server.logins.token_s
    tokens[text] = Token(key=request.key.id, dc=request.dc.id, expires_at=time.time() + life)
    return types.auth.LoginToken(now() + dt.timedelta(seconds=life), text)


@methods.add(auth.ImportLoginTokenRequest, anyone=True)
def import_token(request: Request) -> Any:
    token = request.server.logins.tokens.pop(request.tl.token, None)
    if token is None or not token.user:
        raise bad("AUTH_TOKEN_INVALID")
    return types.auth.LoginTokenSuccess(_enter(request, request.world.people[token.user]))


@methods.add(auth.AcceptLoginTokenRequest, bots=False)
def accept_token(request: Request) -> Any:
    request.server.scanned(request.tl.token, request.key.user)
    return types.Authorization(
        hash=0,
        device_model="test",
        platform="test",
        system_version="1",
        api_id=request.server.api_id,
        app_name="test",
        app_version="1",
        date_created=now(),
        date_active=now(),
        ip="127.0.0.1",
        country="",
        region="",
    )


# ---- Bots, other DCs, and out again


@methods.add(auth.ImportBotAuthorizationRequest, anyone=True)
def import_bot(request: Request) -> Any:
    _application(request)
    token = request.tl.bot_auth_token
    person = next((one for one in request.world.people.values() if one.bot_token and one.bot_token == token), None)
    if person is None:
        raise bad("ACCESS_TOKEN_INVALID")
    if person.dc != request.dc.id:
        raise RpcRefused(303, f"USER_MIGRATE_{person.dc}")
    return authorize(request, person)


@methods.add(auth.ExportAuthorizationRequest)
def export_authorization(request: Request) -> Any:
    if request.tl.dc_id not in request.server.dcs or request.tl.dc_id == request.dc.id:
        raise bad("DC_ID_INVALID")
    secret = os.urandom(128)
    number = secrets.randbits(62)
    request.server.logins.exported[number] = secret, request.key.user, request.tl.dc_id
    return types.auth.ExportedAuthorization(number, secret)


@methods.add(auth.ImportAuthorizationRequest, anyone=True)
def import_authorization(request: Request) -> Any:
    secret, user, dc = request.server.logins.exported.pop(request.tl.id, (b"", 0, 0))
    if not secret or secret != request.tl.bytes or dc != request.dc.id:
        raise bad("AUTH_BYTES_INVALID")
    return authorize(request, request.world.people[user])


@methods.add(auth.LogOutRequest)
def log_out(request: Request) -> Any:
    request.key.user = 0
    return types.auth.LoggedOut()
