"""Mistakes in the Graph U-Net itself; those in its parts are with the parts."""

from ._fault import DETACHED, UNET, edit

RUN = "nn.models._unet:GraphUNet._run"

FAULTS = (
    edit("nothing comes across", RUN, "across + up", "up", UNET),
    edit("across twice", RUN, "across + up", "across + across", UNET),
    edit("joined in the other order", RUN, "[across, up]", "[up, across]", UNET, likely="False"),
    edit("nothing comes up", RUN, "across + up", "across", UNET),
    edit("up is detached", RUN, "x = across + up if", f"x = across + {DETACHED}(up) if", UNET),
    edit("levels in the order down", RUN, "reversed(levels)", "levels", UNET),
    edit("an activation after the last", RUN, "[lambda x: x]", "[self.act]", UNET),
    edit("no activation before the last", RUN, "[self.act] * (", "[lambda x: x] * (", UNET),
    edit("padding comes out", RUN, "jnp.where(node_mask, x, 0), jnp.nan", "x, jnp.nan", UNET),
)
