"""The app: drop photos or take one, read what they show, how sure that is, and why; in English and Spanish.

`wastebook app` starts it; WASTEBOOK_APP_RUN names the run whose models answer (the newest where unset).
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import streamlit as st

from wastebook import paths
from wastebook.answers.predictor import Answer, Predictor, find_model, find_models, overlay
from wastebook.data.copies import PHOTO_SUFFIXES
from wastebook.errors import WastebookError
from wastebook.photos.decode import read_photo, resize

WIDEST = 800  # pixels of a photo on the page
KINDS = [suffix.removeprefix(".") for suffix in sorted(PHOTO_SUFFIXES)]
LANGUAGES = ("English", "Español")
TEXTS = {
    "What is this made of?": "¿De qué es esto?",
    "Question": "Pregunta",
    "Which material is it?": "¿Qué material es?",
    "Organic or recyclable?": "¿Orgánico o reciclable?",
    "Which class is it?": "¿Qué clase es?",
    "Photos": "Fotos",
    "Use the camera": "Usar la cámara",
    "Take a photo": "Haz una foto",
    "Show why": "Mostrar por qué",
    "not sure": "no es seguro",
    "perhaps": "quizá",
    "What glows speaks for the answer (Grad-CAM).": "Lo que brilla habla a favor de la respuesta (Grad-CAM).",
    "cannot be read": "no se puede leer",
    "an animation: its first picture": "una animación: su primera imagen",
    "Photos stay on the machine that runs this app, and are not kept.": (
        "Las fotos se quedan en la máquina que ejecuta esta aplicación y no se guardan."
    ),
    "This model learned from drawn pictures: on real waste its answers mean nothing.": (
        "Este modelo aprendió de dibujos: con residuos reales sus respuestas no significan nada."
    ),
}


@st.cache_resource(show_spinner=False)
def opened(file: Path, changed: float) -> Predictor:
    """The model in a file, opened once until the file is `changed`."""
    return Predictor(file)


def questions(run: str | None) -> list[Predictor]:
    """The models to choose from: the default one, and that of chapter 05 where the run has kept it."""
    files = [find_model(run)]
    files += [
        file
        for file in find_models(run)
        if file.parent.name == "05-xception" and not file.stem.endswith("-int8") and file not in files
    ]
    return [opened(file, file.stat().st_mtime) for file in files]


def answered(predictor: Predictor, name: str, content: bytes) -> tuple[Answer, np.ndarray | None]:
    """The answer to an uploaded photo and its pixels, no larger than they are shown; None where it is bad."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"photo{Path(name).suffix[:8]}")
        file.write_bytes(content)
        answer = predictor.answer(file)
        if answer.probabilities is None:
            return answer, None
        photo = read_photo(file)
    scale = min(1, WIDEST / max(photo.shape[:2]))
    return answer, resize(photo, (max(1, int(photo.shape[0] * scale)), max(1, int(photo.shape[1] * scale))))


def main() -> None:
    """The page."""
    st.set_page_config(page_title="Wastebook", page_icon="♻️")
    spanish_reader = (st.context.locale or "").lower().startswith("es")
    language = st.segmented_control(
        "Language / Idioma", LANGUAGES, default=LANGUAGES[spanish_reader], required=True
    )
    in_spanish = language == LANGUAGES[1]

    def text(english: str) -> str:
        return TEXTS[english] if in_spanish else english

    st.title(text("What is this made of?"))
    try:
        models = questions(os.environ.get("WASTEBOOK_APP_RUN") or None)
    except WastebookError as error:
        st.error(str(error))
        st.stop()
    tasks = [predictor.task for predictor in models]
    asked = st.radio(
        text("Question"), range(len(tasks)), format_func=lambda at: text(tasks[at]), horizontal=True
    )
    predictor = models[asked]
    if paths.is_drawn(predictor.card["data"]["name"]):
        st.warning(text("This model learned from drawn pictures: on real waste its answers mean nothing."))
    photos = st.file_uploader(text("Photos"), type=KINDS, accept_multiple_files=True)
    if st.toggle(text("Use the camera")) and (taken := st.camera_input(text("Take a photo"))):
        photos = [taken, *photos]
    st.caption(text("Photos stay on the machine that runs this app, and are not kept."))
    why = st.toggle(text("Show why"), value=True)
    names = predictor.spanish if in_spanish else predictor.classes

    for photo in photos:
        answer, pixels = answered(predictor, photo.name, photo.getvalue())
        st.divider()
        if answer.probabilities is None or pixels is None:
            st.error(f"{photo.name}: {text('cannot be read')} ({answer.note})")
            continue
        best = int(answer.probabilities.argmax())
        sure = answer.probabilities[best] >= predictor.threshold
        said = f"{names[best]} · {100 * answer.probabilities[best]:.0f} %"
        st.subheader(said if sure else f"{text('not sure')}: {text('perhaps')} {said}")
        if answer.note:
            st.info(text(answer.note))
        left, right = st.columns(2)
        if why and answer.evidence is not None:
            left.image(
                overlay(pixels, answer.evidence[best]), text("What glows speaks for the answer (Grad-CAM).")
            )
        else:
            left.image(pixels, photo.name)
        for at in np.argsort(-answer.probabilities, kind="stable"):
            share = float(answer.probabilities[at])
            right.progress(min(share, 1.0), f"{names[at]} · {100 * share:.0f} %")


main()
