from ._unet import GraphUNet as GraphUNet
