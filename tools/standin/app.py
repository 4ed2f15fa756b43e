"""The stand-in's one page and its rules: loopback names only, and only its own page may post to it."""

from flask import Flask, Response, abort, render_template, request
from otb_cloud_billing import Person, otb_cloud_blueprint

from tools.standin.people import HOUSEHOLDS, PEOPLE
from tools.standin.settings import StandinSettings

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def create_app(settings: StandinSettings) -> Flask:
    """The stand-in portal as a WSGI app."""
    app = Flask(__name__)
    # Another site whose name resolves to 127.0.0.1 (DNS rebinding) gets nothing.
    app.config["TRUSTED_HOSTS"] = ["127.0.0.1", "localhost"]
    app.register_blueprint(otb_cloud_blueprint(settings.signer, settings.cloud_url, _chosen_person))

    @app.get("/")
    def choose() -> str:
        return render_template("choose.html", households=HOUSEHOLDS, cloud_url=settings.cloud_url)

    @app.before_request
    def refuse_other_sites() -> None:
        if request.method == "POST" and request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            abort(403, "Another site's page sent this. Choose who signs in on the portal's own page.")

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return app


def _chosen_person() -> Person:
    # In OTB Billing this is the signed-in customer; here the page's button says who it is.
    person = PEOPLE.get(request.form.get("person", ""))
    if person is None:
        abort(400, "Nobody of that name signs in here. Go back and choose someone from the page.")
    return person
