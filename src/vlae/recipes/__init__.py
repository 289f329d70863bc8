"""Package."""

from vlae.recipes.recipe import MODELS as MODELS
from vlae.recipes.recipe import RECIPES as RECIPES
from vlae.recipes.recipe import Precision as Precision
from vlae.recipes.recipe import Recipe as Recipe
from vlae.recipes.recipe import Schedule as Schedule
from vlae.recipes.recipe import Training as Training
from vlae.recipes.recipe import adjust as adjust
from vlae.recipes.recipe import build as build
from vlae.recipes.recipe import celeba as celeba
from vlae.recipes.recipe import hvae as hvae
from vlae.recipes.recipe import joint as joint
from vlae.recipes.recipe import lean as lean
from vlae.recipes.recipe import lsun as lsun
from vlae.recipes.recipe import lvae as lvae
from vlae.recipes.recipe import make as make
from vlae.recipes.recipe import mnist as mnist
from vlae.recipes.recipe import rival_codes as rival_codes
from vlae.recipes.recipe import svhn as svhn
from vlae.recipes.recipe import vae as vae
