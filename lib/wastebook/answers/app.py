"""The app: drop photos or take one, read what they show, how sure that is, and why; in English and Spanish.

`wastebook app` starts it; WASTEBOOK_APP_RUN names the run whose models answer (the newest where unset).
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from wastebook.answers.predictor import DRAWN, Answer, Predictor, find_model, find_models, overlay
from wastebook.data.copies import PHOTO_SUFFIXES
from wastebook.errors import WastebookError
from wastebook.files import as_written

MOST_PHOTOS = 20  # answered at a time
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
    "perhaps": "quizá",
    "What glows speaks for the answer (Grad-CAM).": "Lo que brilla habla a favor de la respuesta (Grad-CAM).",
    "Only the first 20 photos are answered.": "Solo las primeras 20 fotos reciben respuesta.",
    "cannot be read": "no se puede leer",
    "an animation: its first picture": "una animación: su primera imagen",
    "Photos stay on the machine that runs this app, and are not kept.": (
        "Las fotos se quedan en la máquina que ejecuta esta aplicación y no se guardan."
    ),
    DRAWN: ("Este modelo aprendió de dibujos: con residuos reales sus respuestas no significan nada."),
}


@st.cache_resource(show_spinner=False)
def opened(file: Path, changed: float) -> Predictor:
    """The model in a file, opened once until the file is `changed`, and asked once: one that cannot answer
    is an error of the page, which the health check opens."""
    predictor = Predictor(file)
    predictor.ask(np.zeros((*predictor.image_size, 3), np.uint8))
    return predictor


@st.cache_data(show_spinner=False, max_entries=64, scope="session")
def answered(model: Path, changed: float, name: str, content: bytes) -> tuple[Answer, np.ndarray | None]:
    """The answer to an uploaded photo and its pixels, no larger than they are shown; None where it is bad."""
    answer, photo = opened(model, changed).look(name, content)
    if photo is None:
        return answer, None
    small = Image.fromarray(photo)
    small.thumbnail((800, 800))  # no larger than it is shown
    return answer, np.asarray(small)


def questions(run: str | None) -> list[Predictor]:
    """The models to choose from: the default one, and that of chapter 05 where the run has kept it."""
    whole = [file for file in find_models(run).values() if not file.stem.endswith("-int8")]
    files = dict.fromkeys([find_model(run), *(file for file in whole if file.parent.name == "05-xception")])
    return [opened(file, file.stat().st_mtime) for file in files]


def main() -> None:
    """The page."""
    st.set_page_config(page_title="Wastebook", page_icon="♻️")
    own = LANGUAGES[(st.context.locale or "").lower().startswith("es")]
    language = st.segmented_control("Language / Idioma", LANGUAGES, default=own, required=True)
    texts = TEXTS if language == LANGUAGES[1] else {english: english for english in TEXTS}
    st.title(texts["What is this made of?"])
    try:
        models = questions(os.environ.get("WASTEBOOK_APP_RUN") or None)
    except WastebookError as error:
        st.error(str(error))
        raise  # for the log and the health check
    tasks = [as_written(texts.get(asked, asked)) for asked in (model.facts["task"] for model in models)]
    ask = st.radio(texts["Question"], range(len(tasks)), format_func=lambda at: tasks[at], horizontal=True)
    predictor = models[ask]
    if predictor.drawn:
        st.warning(texts[DRAWN])
    photos = st.file_uploader(texts["Photos"], type=sorted(PHOTO_SUFFIXES), accept_multiple_files=True)
    if st.toggle(texts["Use the camera"]) and (taken := st.camera_input(texts["Take a photo"])):
        photos = [taken, *photos]
    st.caption(texts["Photos stay on the machine that runs this app, and are not kept."])
    why = st.toggle(texts["Show why"], value=True)
    names = predictor.facts["spanish"] if language == LANGUAGES[1] else predictor.classes
    if len(photos) > MOST_PHOTOS:
        st.info(texts["Only the first 20 photos are answered."])
    for photo in photos[:MOST_PHOTOS]:
        show_answer(photo, predictor, names, texts, why)


def show_answer(photo: Any, predictor: Predictor, names: list[str], texts: dict[str, str], why: bool) -> None:
    """An uploaded photo with its answer, or with what is wrong with it."""
    answer, pixels = answered(predictor.file, predictor.file.stat().st_mtime, photo.name, photo.getvalue())
    st.divider()
    if answer.probabilities is None or pixels is None:
        st.error(f"{as_written(photo.name)}: {texts['cannot be read']} ({answer.note})")
        return
    names, best = [*map(as_written, names)], int(answer.probabilities.argmax())  # they are read as Markdown
    st.subheader(predictor.describe(answer._replace(note=""), 1, names, texts["perhaps"]))
    if answer.note:
        st.info(texts[answer.note])
    left, right = st.columns(2)
    if why and answer.evidence is not None:
        glowing = overlay(pixels, answer.evidence[best])
        left.image(glowing, texts["What glows speaks for the answer (Grad-CAM)."])
    else:
        left.image(pixels, as_written(photo.name))
    for at in np.argsort(-answer.probabilities, kind="stable"):
        share = float(answer.probabilities[at])
        right.progress(min(share, 1.0), f"{names[at]} · {100 * share:.0f} %")


if __name__ == "__main__":  # Streamlit runs this file
    main()
