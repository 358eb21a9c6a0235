-- What Quarto's Markdown has beyond Pandoc's: callouts, numbered figures, tables and sections, references.
-- References stay open (`<a class="reference">`): only the whole book knows what they name.

local chapter = "" -- the chapter's number, empty on an unnumbered page
local counts = { fig = 0, tbl = 0, [1] = 0, [2] = 0, [3] = 0, [4] = 0, [5] = 0, [6] = 0 }
local names = { fig = "Figure", tbl = "Table" }

local function kind_of(identifier)
  return identifier:match("^(%l+)%-")
end

-- The blocks as HTML within a tag of ours, its attributes as text.
local function within(tag, attributes, blocks)
  local out = pandoc.Blocks({ pandoc.RawBlock("html", "<" .. tag .. attributes .. ">") })
  out:extend(blocks)
  out:insert(pandoc.RawBlock("html", "</" .. tag .. ">"))
  return out
end

-- A figure or table with its number and caption, the caption of a table above it.
local function float(div, kind)
  counts[kind] = counts[kind] + 1
  local number = (chapter ~= "" and chapter .. "." or "") .. counts[kind]
  local label, last = pandoc.Inlines(names[kind] .. "\u{a0}" .. number), div.content[#div.content]
  if last and last.t == "Para" then
    label:insert(pandoc.Str(": "))
    label:extend(div.content:remove().content)
  end
  local head = within("figcaption", "", { pandoc.Plain(label) })
  local all = kind == "tbl" and head or div.content
  all:extend(kind == "tbl" and div.content or head)
  local attributes = ' class="float %s" id="%s" data-label="%s" data-number="%s"'
  return within("figure", attributes:format(kind, div.identifier, div.identifier, number), all)
end

local function numbered(header)
  header.attributes.label = header.identifier
  if chapter == "" or header.classes:includes("unnumbered") then
    return header
  end
  local number = chapter
  counts[header.level] = counts[header.level] + 1
  for level = 2, header.level do
    number = number .. "." .. counts[level]
  end
  for level = header.level + 1, 6 do
    counts[level] = 0
  end
  header.attributes.number = number
  header.content:insert(1, pandoc.Space())
  header.content:insert(1, pandoc.Span({ pandoc.Str(number) }, { class = "header-section-number" }))
  return header
end

local function reference(cite)
  local out = pandoc.Inlines({})
  for _, citation in ipairs(cite.citations) do
    if not ({ fig = true, tbl = true, sec = true })[kind_of(citation.id)] then
      return nil
    end
    out:extend(#out > 0 and { pandoc.Str(", ") } or {})
    out:insert(pandoc.RawInline("html", '<a class="reference">' .. citation.id:gsub("[<&]", "") .. "</a>"))
  end
  return out
end

return {
  { Meta = function(meta) chapter = pandoc.utils.stringify(meta.chapter or "") end },
  { Div = function(div) -- a callout: its heading is no section
      if table.concat(div.classes):match("callout") then
        div.classes:insert("callout")
        div.content = div.content:walk({ Header = function(h) return pandoc.Para({ pandoc.Strong(h.content) }) end })
        return div
      end
    end },
  { traverse = "topdown",
    Header = numbered,
    Div = function(div)
      local kind = kind_of(div.identifier)
      if names[kind] then
        return float(div, kind), false
      end
    end,
    Table = function(content)
      return within("div", ' class="scroll"', { content }), false
    end },
  { Cite = reference,
    Link = function(link)
      if not link.target:match("^%a+:") then
        link.target = link.target:gsub("%.ipynb%f[#\0]", ".html"):gsub("%.qmd%f[#\0]", ".html")
        return link
      end
    end },
}
