"""Who the twin's business is: its account with Twilio, and the secret that its CRM trusts. All of it made up."""

from __future__ import annotations

import base64

ACCOUNT_SID = "AC" + "0" * 31 + "1"
AUTH_TOKEN = "twin-auth-token"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"the twin's CRM trusts this secret").decode()
STREAM_SECRET = "the stage's own stream secret"
