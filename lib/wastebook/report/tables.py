"""How tables look: one house style that reads well on light and dark pages alike."""

import hashlib

import pandas as pd
from great_tables import GT

LINE = "rgba(128, 128, 128, 0.45)"  # seen on white as on black


def table(frame: pd.DataFrame, *, decimals: int = 2, names: dict[str, str] | None = None) -> GT:
    """A table in the house style, without the frame's index (reset it to show it).

    Floats get `decimals` places, integers separators between thousands, both to the right; what is missing is
    a dash. Columns read as their name with spaces for underscores, or as `names` says. All colours are the
    page's own or see-through. The identifier comes from the contents, so the same table gives the same page.
    """
    contents = f"{decimals}{names}{frame.to_csv(index=False)}"
    name = "table-" + hashlib.sha256(contents.encode()).hexdigest()[:10]
    integers = [column for column in frame if pd.api.types.is_integer_dtype(frame[column])]
    floats = [column for column in frame if pd.api.types.is_float_dtype(frame[column])]
    labels = {column: column.replace("_", " ") for column in frame.columns} | (names or {})
    shown = GT(frame, id=name).cols_label(cases={column: labels[column] for column in frame.columns})
    shown = shown.cols_align("left").cols_align("right", integers + floats)
    shown = shown.fmt_integer(integers).fmt_number(floats, decimals=decimals).sub_missing(missing_text="—")
    return shown.tab_options(
        table_background_color="transparent",
        table_additional_css=f"#{name} [class^=gt_] {{ color: inherit; }}",
        table_font_names=["inherit"],
        table_font_size="0.92em",
        table_margin_left="0",
        column_labels_font_weight="600",
        data_row_padding="5px",
        data_row_padding_horizontal="10px",
        column_labels_padding_horizontal="10px",
        table_border_top_color=LINE,
        table_border_bottom_color=LINE,
        table_body_hlines_color=LINE,
        table_body_border_top_color=LINE,
        table_body_border_bottom_color=LINE,
        column_labels_border_top_style="none",
        column_labels_border_bottom_color=LINE,
        container_padding_y="0px",
        quarto_disable_processing=True,  # Quarto would rebuild it from its own parts
    )
